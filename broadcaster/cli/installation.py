"""What commands on an installation share: opening it, and the options of several."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from broadcaster import config, log
from broadcaster.config import Settings
from broadcaster.domain import phone
from broadcaster.services.start_up import open_installation
from broadcaster.worker.schedule import Schedule


class Installation:
    """The installation a command works on, opened when it is first needed."""

    def __init__(self) -> None:
        self.settings: Settings = config.load()
        # What a command has to say it says itself.
        log.set_up("WARNING")
        self.database, self.vault = open_installation(self.settings)
        self.schedule = Schedule(self.database)

    def country(self, chosen: str | None) -> str | None:
        """Where national numbers are from (ISO code): as chosen for this command, or as set."""
        try:
            return phone.country(chosen) if chosen else self.settings.default_country
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--country") from None


def with_country(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--country", help="Where national numbers are from, like TR; by default as set.")(
        command
    )


def with_json(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def installed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Hand the command its installation as first argument."""

    @wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        return command(Installation(), *args, **options)

    return wrapped
