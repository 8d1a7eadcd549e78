"""The command line itself: the commands there are, and how each of them ends."""

import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from broadcaster import __version__
from broadcaster.cli.lazy import LazyGroup, Place
from broadcaster.cli.saying import say, say_lines
from broadcaster.errors import BroadcasterError, Faults, Invalid

COMMANDS = {
    "backup": Place(
        "upkeep", "backup", "Copy the database to FILE while the server runs, and verify the copy."
    ),
    "channel": Place("channels", "channel", "The numbers that send."),
    "completion": Place("completion", "completion", "Print what makes SHELL complete these commands."),
    "dashboard-password": Place(
        "tokens",
        "dashboard_password",
        "Set the password that opens the dashboard, asked for twice; a line on standard input does as well.",
    ),
    "demo": Place(
        "demo",
        "demo",
        "Start sandbox and server in a temporary directory, send a sample broadcast and check its counters.",
    ),
    "doctor": Place(
        "doctor",
        "doctor",
        "Look at everything that could keep this installation from sending, and say what to do.",
    ),
    "erase": Place(
        "upkeep", "erase", "Forget a person: cancel what waits for NUMBER and erase what names it."
    ),
    "errors": Place(
        "broadcasts",
        "errors",
        "Show why messages failed: each code with its number, its meaning and what to do.",
    ),
    "export": Place("broadcasts", "export", "Write the messages of a broadcast as CSV to standard output."),
    "list": Place("broadcasts", "list_broadcasts", "Show the latest broadcasts with their counters."),
    "pause": Place("broadcasts", "pause", "Hold a broadcast back until it is resumed."),
    "purge": Place(
        "upkeep", "purge", "Erase numbers and variables of broadcasts that ended long ago; counts stay."
    ),
    "replay-callbacks": Place(
        "people", "replay_callbacks", "Do again what Meta's callbacks of the last days asked for."
    ),
    "restore": Place(
        "upkeep",
        "restore",
        "Put the backup FILE in the place of the database; the server must be stopped.",
    ),
    "resume": Place("broadcasts", "resume", "Let a paused broadcast go on."),
    "retry": Place("broadcasts", "retry", "Send failed messages again: all, or those with a code."),
    "run": Place("processes", "run", "Run web and worker in one process, the usual way."),
    "sandbox": Place(
        "sandbox",
        "sandbox",
        "Run a local stand-in for Meta's Graph API, to try everything without an account.",
    ),
    "send": Place(
        "broadcasts",
        "send",
        "Accept a broadcast from a CSV (columns `to` and one a variable) or a JSON request.",
    ),
    "status": Place("broadcasts", "status", "Show where a broadcast stands and, if it waits, why."),
    "stop": Place("broadcasts", "stop", "Cancel everything that has not left yet."),
    "suppression": Place("people", "suppression", "People who want no marketing messages."),
    "template": Place("channels", "template", "The templates Meta approved."),
    "token": Place("tokens", "token", "The tokens programs use to call the API."),
    "web": Place("processes", "web", "Run the web half alone, beside `broadcaster worker`."),
    "webhook": Place("webhooks", "webhook", "Programs that are told what happens."),
    "worker": Place("processes", "worker", "Run the sending half alone, beside `broadcaster web`."),
}


@click.group(cls=LazyGroup, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Send WhatsApp broadcasts from one machine, and always know where every recipient stands."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: one sentence on stderr and exit code 1 for what a person can mend."""
    sys.exit(_run_command(arguments))


def _run_command(arguments: Sequence[str] | None) -> int:
    try:
        cli(arguments, prog_name="broadcaster", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(file=shown)
        say_lines(shown.getvalue(), err=True)
        return error.exit_code
    except Invalid as error:
        _show_faults(error.faults)
    except BroadcasterError as error:
        say(str(error), err=True)
    except OSError as error:
        # The interpreter would try to write the rest once more at its end, and complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say(f"cannot read or write: {error.strerror or error}", err=True)
    except Exception as error:
        # Imported only here: `--help` needs no database.
        from broadcaster.store import database

        if database.is_trouble(error):
            say(f"the database cannot be used: {error}", err=True)
        else:
            say_lines(traceback.format_exc(), err=True)
    else:
        return 0
    return 1


def _show_faults(faults: Faults) -> None:
    for fault in faults.shown:
        say(f"{fault.field}: {fault.message}", err=True)
    if faults.count > len(faults.shown):
        say(f"{faults.count} faults in all", err=True)
