"""What commands on an installation share: opening it, and the option --json."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from broadcaster import config, log
from broadcaster.config import Settings
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


def with_json(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def installed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Hand the command its installation as first argument."""

    @wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        return command(Installation(), *args, **options)

    return wrapped
