"""The command that says whether all is well."""

import sys
from dataclasses import asdict

import click

from broadcaster.cli.installation import Installation, installed, with_json
from broadcaster.cli.terminal import print_rows
from broadcaster.clock import epoch_ms
from broadcaster.services.doctor import examine, exit_code


@click.command()
@with_json
@installed
def doctor(here: Installation, as_json: bool) -> None:
    """Look at everything that could keep this installation from sending, and say what to do.

    The exit code is 1 if something fails.

    Example: broadcaster doctor
    """
    found = list(examine(here.settings, here.vault, here.schedule, epoch_ms()))
    rows = [asdict(finding) for finding in found]
    shown = rows if as_json else [row | {"result": row["result"].upper()} for row in rows]
    print_rows(shown, ("result", "name", "seen", "remedy"), as_json)
    sys.exit(exit_code(found))
