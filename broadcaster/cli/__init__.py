"""The command line."""

from broadcaster.cli.base import cli, main

__all__ = ["cli", "main"]
