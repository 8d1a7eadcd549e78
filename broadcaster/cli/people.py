"""Commands about people who want no marketing, and about what Meta told of them."""

from typing import IO

import click

from broadcaster.cli.installation import Installation, installed, with_country, with_json
from broadcaster.cli.saying import say
from broadcaster.cli.terminal import print_rows
from broadcaster.clock import epoch_ms
from broadcaster.errors import Faults, Misconfigured
from broadcaster.services import access, meta_events, recipients_csv
from broadcaster.settlement import opt_outs
from broadcaster.store import database, suppressions
from broadcaster.web.bodies import valid
from broadcaster.web.own import answers
from broadcaster.web.own.bodies import NewSuppressions


@click.group()
def suppression() -> None:
    """People who want no marketing messages."""


@suppression.command("add")
@click.argument("numbers", nargs=-1)
@click.option("--file", type=click.File("rb"), help="A CSV with a column `to`.")
@click.option("--reason", default="by hand", show_default=True, help="How you know.")
@with_country
@installed
def suppression_add(
    here: Installation,
    numbers: tuple[str, ...],
    file: IO[bytes] | None,
    reason: str,
    country: str | None,
) -> None:
    """Send these people no marketing.

    Example: broadcaster suppression add +905554443301 --reason "asked on the phone"
    """
    home = here.country(country)
    listed = recipients_csv.read(file.read(), home).recipients if file else []
    given = [*numbers, *(row["to"] for row in listed)]
    if not given:
        raise click.UsageError("name at least one number, or a --file")
    asked = valid(NewSuppressions, {"to": given, "reason": reason}, Faults(), home)
    new = opt_outs.suppress(asked.to, asked.reason, "command line", epoch_ms())
    say(f"{len(new)} people suppressed, {len(set(asked.to)) - len(new)} were before")


@suppression.command("remove")
@click.argument("number")
@with_country
@installed
def suppression_remove(here: Installation, number: str, country: str | None) -> None:
    """Let marketing go to this person again.

    Example: broadcaster suppression remove +905554443301
    """
    if not opt_outs.lift(number, "command line", epoch_ms(), here.country(country)):
        raise Misconfigured(f"{number} is not suppressed")
    say(f"{number} may be written to again")


@suppression.command("list")
@with_json
@installed
def suppression_list(_here: Installation, as_json: bool) -> None:
    """Show all who want no marketing, and how we know.

    Example: broadcaster suppression list --json
    """
    listed = suppressions.listed("", 1_000_000)
    rows = [
        {**answers.suppression(one.facts), "names": one.names if as_json else ", ".join(one.names)}
        for one in listed
    ]
    print_rows(rows, ("to", "names", "reason", "source", "createdAt"), as_json)


@click.command("replay-callbacks")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 30), help="How far back.")
@installed
def replay_callbacks(here: Installation, days: int) -> None:
    """Do again what Meta's callbacks of the last days asked for. Doing it twice changes nothing more.

    Example: broadcaster replay-callbacks --days 2
    """
    now = epoch_ms()
    with database.transaction():
        count = meta_events.replay(here.settings.stop_words, now - days * access.DAY, now)
    say(f"{count} callbacks replayed")
