"""Commands about broadcasts: sending, watching, moving, exporting."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from broadcaster.cli.installation import Installation, installed, with_country, with_json
from broadcaster.cli.progress_bar import watch_progress
from broadcaster.cli.saying import printable, say
from broadcaster.cli.terminal import err, out, print_document, print_plan, print_rows
from broadcaster.clock import epoch_ms
from broadcaster.domain import strict_json
from broadcaster.domain.words import BroadcastStatus
from broadcaster.errors import Faults, Invalid
from broadcaster.services import planning, progress, recipients_csv, steering, submit
from broadcaster.store import statuses
from broadcaster.web.own import answers, bodies, message_csv


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--channel", "channel_id", help="Meta's phone_number_id; required for CSV.")
@click.option("--template", "template_name", help="Required for CSV.")
@click.option("--language", help="Language code of the template.")
@click.option("--schedule-at", help="Time with zone, like 2026-06-10T07:00:00Z.")
@click.option("--title", help="What people see of it; for you alone.")
@with_country
@click.option("--dry-run", is_flag=True, help="Say what would happen, store nothing.")
@click.option("--watch", is_flag=True, help="Stay and show the progress.")
@with_json
@installed
def send(
    here: Installation,
    file: Path,
    channel_id: str | None,
    template_name: str | None,
    language: str | None,
    schedule_at: str | None,
    title: str | None,
    country: str | None,
    dry_run: bool,
    watch: bool,
    as_json: bool,
) -> None:
    """Accept a broadcast from a CSV (columns `to` and one a variable) or a JSON request.

    A column named like a variable fills it; `header` fills the header and `button.0` the first button.
    The file `-` is standard input.

    Example: broadcaster send customers.csv --channel 813497231850626 --template order_update --language en
    """
    now = epoch_ms()
    raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    given = {"channel": channel_id, "scheduleAt": schedule_at, "title": title}
    named = {"name": template_name, "language": language}
    plan = _plan_file(raw, given, named, here.country(country), here.settings.stop_words, now)
    if dry_run:
        print_plan(answers.plan(plan, now), as_json)
        return
    accepted = submit.submit(
        plan, here.schedule, lambda tracked: strict_json.dumps(answers.broadcast(tracked)), now
    )
    if not as_json:
        say(f"{accepted.id}: {len(plan.drafts)} messages accepted, {plan.duplicates} duplicates")
    if watch:
        _watch(here, accepted.id, as_json)
    if as_json:
        print_document(_answer(here, accepted.id), True)


def _plan_file(
    raw: bytes,
    given: dict[str, str | None],
    named: dict[str, str | None],
    country: str | None,
    stop_words: Iterable[str],
    now: int,
) -> planning.Plan:
    """The plan of a CSV or JSON file, with the options laid over it; faults name rows of a CSV."""
    faults = Faults()
    table: recipients_csv.Rows | None = None
    if raw.lstrip()[:1] == b"{":
        document = strict_json.loads(raw, faults)
    else:
        table = recipients_csv.read(raw, country)
        document = {"recipients": table.recipients}
        for number, message in table.faults:
            faults.add(f"row {number}", message)
    document |= _present(given)
    template = document.get("template", {})
    if isinstance(template, dict) and (template or _present(named)):
        document["template"] = template | _present(named)
    try:
        spec = replace(bodies.spec_of(document, faults), country=country)
        return planning.plan(spec, faults, stop_words, now)
    except Invalid as error:
        raise Invalid(table.by_row(error.faults) if table else error.faults) from None


@click.command("list")
@click.option("--status", type=click.Choice(statuses.STATUSES), help="Only these.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@with_json
@installed
def list_broadcasts(here: Installation, status: BroadcastStatus | None, limit: int, as_json: bool) -> None:
    """Show the latest broadcasts with their counters.

    Example: broadcaster list --status paused
    """
    found = [answers.broadcast(p) for p in progress.page(status, None, limit, epoch_ms())]
    table = [{**row, **row["stats"], "template": row["template"]["name"]} for row in found]
    rows: Sequence[Mapping[str, object]] = found if as_json else table
    columns = (
        "id",
        "title",
        "status",
        "template",
        "createdAt",
        "pending",
        "success",
        "failed",
        "cancelled",
        "total",
    )
    print_rows(rows, columns, as_json)


@click.command()
@click.argument("broadcast_id")
@click.option("--watch", is_flag=True, help="Stay until it is over.")
@with_json
@installed
def status(here: Installation, broadcast_id: str, watch: bool, as_json: bool) -> None:
    """Show where a broadcast stands and, if it waits, why.

    Example: broadcaster status 7c9e6679-7425-40de-944b-e07fc1f90ae7 --watch
    """
    if watch:
        _watch(here, broadcast_id, as_json)
    print_document(_answer(here, broadcast_id), as_json)


@click.command()
@click.argument("broadcast_id")
@with_json
@installed
def stop(here: Installation, broadcast_id: str, as_json: bool) -> None:
    """Cancel everything that has not left yet. This cannot be undone.

    Example: broadcaster stop 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    document = answers.stopped(steering.stop(broadcast_id, epoch_ms()))
    if as_json:
        say(json.dumps(document))
        return
    numbers = document["stopped"]
    say(f"stopped: {numbers['cancelled']} cancelled, {numbers['inFlight']} were already on their way")


@click.command()
@click.argument("broadcast_id")
@with_json
@installed
def pause(here: Installation, broadcast_id: str, as_json: bool) -> None:
    """Hold a broadcast back until it is resumed.

    Example: broadcaster pause 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    print_document(answers.broadcast(steering.pause(broadcast_id, epoch_ms())), as_json)


@click.command()
@click.argument("broadcast_id")
@with_json
@installed
def resume(here: Installation, broadcast_id: str, as_json: bool) -> None:
    """Let a paused broadcast go on.

    Example: broadcaster resume 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    document = answers.broadcast(steering.resume(broadcast_id, here.schedule, epoch_ms()))
    print_document(document, as_json)


@click.command()
@click.argument("broadcast_id")
@click.option("--code", help="Only those that failed with this code.")
@with_json
@installed
def retry(here: Installation, broadcast_id: str, code: str | None, as_json: bool) -> None:
    """Send failed messages again: all, or those with a code.

    What may have been delivered goes only with --code OUTCOME_UNKNOWN.

    Example: broadcaster retry 7c9e6679-7425-40de-944b-e07fc1f90ae7 --code 131049
    """
    tracked, count = steering.retry(broadcast_id, code, here.schedule, epoch_ms())
    if as_json:
        say(json.dumps(answers.broadcast(tracked) | {"retried": count}))
        return
    say(f"{count} messages are tried again")


@click.command()
@click.argument("broadcast_id")
@with_json
@installed
def errors(_here: Installation, broadcast_id: str, as_json: bool) -> None:
    """Show why messages failed: each code with its number, its meaning and what to do.

    Example: broadcaster errors 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    rows = [answers.failure(*row) for row in progress.errors(broadcast_id)]
    print_rows(rows, ("code", "count", "meaning", "advice"), as_json)


@click.command()
@click.argument("broadcast_id")
@click.option("--failed", is_flag=True, help="Only the failed messages.")
@installed
def export(_here: Installation, broadcast_id: str, failed: bool) -> None:
    """Write the messages of a broadcast as CSV to standard output.

    Example: broadcaster export 7c9e6679-7425-40de-944b-e07fc1f90ae7 --failed > failed.csv
    """
    filters = {"state": "failed"} if failed else {}
    for lines in message_csv.csv_pages(broadcast_id, filters):
        # A program gets the file as it is, a person nothing that drives a terminal.
        click.echo(printable(lines.replace("\r\n", "\n")) if sys.stdout.isatty() else lines, nl=False)


def _present(options: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def _watch(here: Installation, broadcast_id: str, as_json: bool) -> None:
    """A bar until the broadcast is over; Ctrl-C leaves it running."""
    watch_progress(err if as_json else out, lambda: _answer(here, broadcast_id))


def _answer(here: Installation, broadcast_id: str) -> answers.Broadcast:
    return answers.broadcast(progress.of(broadcast_id, epoch_ms()))
