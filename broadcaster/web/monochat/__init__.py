"""MonoChat's API: bulk template messages with payloads that merge, their statistics, their end.

From its page: everything is a POST under a workspace's slug, and a broadcast is found only under
its own. Buttons are counted among those that take a value; a receipt moves no counter.
"""

NAME = "monochat"
