"""The command line."""

from broadcaster.cli import (
    broadcasts,
    channels,
    people,
    processes,
    tokens,
    upkeep,
    webhooks,
)
from broadcaster.cli.base import cli, main

__all__ = ["broadcasts", "channels", "cli", "main", "people", "processes", "tokens", "upkeep", "webhooks"]
