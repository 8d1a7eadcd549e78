"""Groups that import a command only when it is called.

What a command needs takes longer to import than most commands take to run.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem


class Place(NamedTuple):
    """The module of a command below broadcaster.cli, its name there, and the first sentence of its help."""

    module: str
    name: str
    summary: str


class LazyGroup(click.Group):
    """Lists commands by their places alone, beside those defined in the group's own module."""

    def __init__(self, *args: Any, places: Mapping[str, Place], **options: Any):
        super().__init__(*args, **options)
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.places, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self.places.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(f"broadcaster.cli.{place.module}"), place.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Group(commands=self._listed()).format_commands(ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        completed = [
            CompletionItem(name, help=command.get_short_help_str())
            for name, command in sorted(self._listed().items())
            if name.startswith(incomplete)
        ]
        return completed + click.Command.shell_complete(self, ctx, incomplete)

    def _listed(self) -> dict[str, click.Command]:
        """All commands; those not imported yet have a name and a help, and can do nothing."""
        unloaded = {name: click.Command(name, help=place.summary) for name, place in self.places.items()}
        return {**self.commands, **unloaded}
