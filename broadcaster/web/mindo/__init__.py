"""Mindo's API: bulk and single template messages, progress and messages in numbered pages.

From its reference pages: statuses in capitals, tiers spelled out, times to the second. What it
leaves open is decided as Django REST does, which its answers look like.
"""

NAME = "mindo"
SINGLE = "mindo/send"
"""What single sends are stored under, so that the list of bulk sends does not show them."""
