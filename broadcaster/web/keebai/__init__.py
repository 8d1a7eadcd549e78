"""Keebai's API: bulk template messages and single ones as broadcasts of one, by id.

From its reference pages: snake_case, error codes in capitals, times to the millisecond. The same
number twice is two messages; a recipient without a variable fails alone.
"""

NAME = "keebai"
