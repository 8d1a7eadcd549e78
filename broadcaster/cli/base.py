"""What all commands stand on: the group, the installation they work on, and how they end."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from broadcaster import __version__, config, log
from broadcaster.config import Settings
from broadcaster.errors import BroadcasterError, Faults, Invalid
from broadcaster.services.start_up import open_installation
from broadcaster.store import database
from broadcaster.worker.schedule import Schedule


class Installation:
    """The installation a command works on, opened when it is first needed."""

    def __init__(self) -> None:
        self.settings: Settings = config.load()
        # What a command has to say it says itself.
        log.set_up("WARNING")
        self.database, self.vault = open_installation(self.settings)
        self.schedule = Schedule(self.database)


def main() -> None:
    """The console script: one sentence on stderr and exit code 1 for what a person can mend."""
    sys.exit(_run_command())


def _run_command() -> int:
    try:
        cli(prog_name="broadcaster", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Invalid as error:
        _show_faults(error.faults)
    except BroadcasterError as error:
        click.echo(str(error), err=True)
    except OSError as error:
        # The interpreter would try to write the rest once more at its end, and complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo(f"cannot read or write: {error.strerror or error}", err=True)
    except Exception as error:
        if not database.is_trouble(error):
            raise
        click.echo(f"the database cannot be used: {error}", err=True)
    else:
        return 0
    return 1


def _show_faults(faults: Faults) -> None:
    for fault in faults.shown:
        click.echo(f"{fault.field}: {fault.message}", err=True)
    if faults.count > len(faults.shown):
        click.echo(f"{faults.count} faults in all", err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Send WhatsApp broadcasts from one machine, and always know where every recipient stands."""


def with_json(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def installed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Hand the command its installation as first argument."""

    @wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        return command(Installation(), *args, **options)

    return wrapped
