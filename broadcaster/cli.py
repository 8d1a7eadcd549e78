"""The command line."""

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import IO, Any

import click

from broadcaster import (
    __version__,
    access,
    broadcasts,
    channels,
    config,
    inbox,
    log,
    optouts,
    planning,
    recipients_csv,
    wire,
)
from broadcaster.api import answers, shapes
from broadcaster.clock import epoch_ms
from broadcaster.config import Settings
from broadcaster.dialects import STYLES
from broadcaster.errors import BroadcasterError, Faults, Invalid, Misconfigured
from broadcaster.installation import open_installation
from broadcaster.show import (
    err,
    out,
    print_document,
    print_plan,
    print_rows,
    watch_progress,
)
from broadcaster.store import broadcast as ledger
from broadcaster.store import channel as channel_rows
from broadcaster.store import database
from broadcaster.store import suppression as suppression_rows
from broadcaster.store import template as template_rows
from broadcaster.store import token as token_rows
from broadcaster.tasks import Bell


class Installation:
    """The installation a command works on, opened when it is first needed."""

    def __init__(self) -> None:
        self.settings: Settings = config.load()
        self.database, self.vault = open_installation(self.settings)
        self.bell = Bell(self.database)


def main() -> None:
    """The console script: one sentence on stderr and exit code 1 for what a person can mend."""
    sys.exit(_run_command())


def _run_command() -> int:
    try:
        cli(standalone_mode=False)
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


def _with_json(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def _installed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Hand the command its installation as first argument."""

    @wraps(command)
    def wrapped(*args: Any, **options: Any) -> Any:
        return command(Installation(), *args, **options)

    return wrapped


# Processes


def _run(web: bool, worker: bool) -> None:
    # The sender's and the server's libraries are half of the start-up time of every other command.
    from broadcaster import server

    settings = config.load()
    log.set_up(settings.log_level)
    server.run(settings, web=web, worker=worker)


@cli.command()
def run() -> None:
    """Run web and worker in one process, the usual way.

    Example: BROADCASTER_PORT=9000 broadcaster run
    """
    _run(web=True, worker=True)


@cli.command()
def web() -> None:
    """Run the web half alone, beside `broadcaster worker`."""
    _run(web=True, worker=False)


@cli.command()
def worker() -> None:
    """Run the sending half alone, beside `broadcaster web`."""
    _run(web=False, worker=True)


@cli.command()
@click.option(
    "--port",
    default=8090,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--latency", default=50, show_default=True, help="Milliseconds until an answer.")
@click.option("--throughput", default=0.0, help="Messages a sliding second before 130429; 0 for no limit.")
@click.option(
    "--templates",
    type=click.File("rb"),
    help="A JSON list of more templates, as Graph's message_templates shows them.",
)
@click.option("--callbacks", metavar="URL", help="Send signed receipts there.")
@click.option("--app-secret", default="sandbox", show_default=True, help="What receipts are signed with.")
def sandbox(
    port: int,
    latency: int,
    throughput: float,
    templates: IO[bytes] | None,
    callbacks: str | None,
    app_secret: str,
) -> None:
    """Run a local stand-in for Meta's Graph API, to try everything without an account.

    Example: broadcaster sandbox --port 8090 --latency 100
    """
    from broadcaster.sandbox.server import serve

    more = wire.loads(templates.read()) if templates else []
    if not isinstance(more, list) or not all(isinstance(row, dict) and "components" in row for row in more):
        raise click.UsageError("--templates must be a JSON list of templates with components")
    serve("127.0.0.1", port, latency / 1000, throughput, more, callbacks, app_secret)


@cli.command()
@click.option("--stay", is_flag=True, help="Keep everything running afterwards, to look at the dashboard.")
def demo(stay: bool) -> None:
    """Start sandbox and server in a temporary directory, send a sample broadcast and check its counters.

    Example: broadcaster demo --stay
    """
    from broadcaster.demo import run_demo

    sys.exit(run_demo(out, stay))


# Channels and templates


@cli.group()
def channel() -> None:
    """The numbers that send."""


@channel.command("add")
@click.argument("phone_number_id")
@click.option("--waba-id", required=True, help="The WhatsApp business account the number belongs to.")
@click.option("--access-token", required=True, help="Meta's token; - reads it from standard input.")
@click.option("--pace", type=float, help="Messages a second, overrides Meta's tier.")
@click.option("--portfolio", help="Numbers of one portfolio share its allowance.")
@_with_json
@_installed
def channel_add(
    here: Installation,
    phone_number_id: str,
    waba_id: str,
    access_token: str,
    pace: float | None,
    portfolio: str | None,
    as_json: bool,
) -> None:
    """Add a number, or bring it up to date: reads it and its templates from Graph.

    Example: broadcaster channel add 813497231850626 --waba-id 102290129340398 --access-token - < token.txt
    """
    if access_token == "-":
        access_token = sys.stdin.read().strip()
    if not access_token:
        raise click.UsageError("the access token is empty")
    row, count = channels.add(
        phone_number_id, waba_id, access_token, here.settings, here.vault, epoch_ms(), pace, portfolio
    )
    _print_channel(here.settings, row, count, as_json)


@channel.command("sync")
@click.argument("phone_number_id", required=False)
@click.option(
    "--access-token", help="A new token of Meta's for this channel; - reads it from standard input."
)
@_with_json
@_installed
def channel_sync(
    here: Installation, phone_number_id: str | None, access_token: str | None, as_json: bool
) -> None:
    """Read one channel, or all, and their templates from Graph anew.

    What was held for want of a good token goes on.

    Example: broadcaster channel sync 813497231850626 --access-token - < token.txt
    """
    if access_token is not None and phone_number_id is None:
        raise click.UsageError("--access-token needs the PHONE_NUMBER_ID it is for")
    token = sys.stdin.read().strip() if access_token == "-" else access_token
    if token == "":
        raise click.UsageError("the access token is empty")
    ids = (
        [phone_number_id] if phone_number_id else [row.phone_number_id for row in channel_rows.all_channels()]
    )
    for one in ids:
        row, count = channels.sync(one, here.settings, here.vault, epoch_ms(), token)
        _print_channel(here.settings, row, count, as_json)


@channel.command("list")
@_with_json
@_installed
def channel_list(here: Installation, as_json: bool) -> None:
    """Show the numbers that send, with their tiers and paces."""
    rows = [answers.channel(row, here.settings) for row in channel_rows.all_channels()]
    columns = ("id", "displayPhoneNumber", "verifiedName", "status", "qualityRating", "tier", "pace")
    print_rows(rows, columns, as_json)


@channel.command("remove")
@click.argument("phone_number_id")
@_installed
def channel_remove(here: Installation, phone_number_id: str) -> None:
    """Forget a number that no broadcast ever used."""
    row = channels.get(phone_number_id)
    if not channel_rows.remove(row.id):
        raise Misconfigured(f"channel {phone_number_id} has broadcasts, which keep it on record")
    click.echo(f"channel {phone_number_id} removed")


def _print_channel(settings: Settings, row: Any, count: int, as_json: bool) -> None:
    document = answers.channel(row, settings) | {"templates": count}
    if as_json:
        click.echo(json.dumps(document))
        return
    click.echo(
        f"channel {row.phone_number_id} ({row.display_phone_number or 'number unknown'}): "
        f"{document['tier']}, {document['pace']} messages a second, {count} templates"
    )


@cli.group()
def template() -> None:
    """The templates Meta approved."""


@template.command("list")
@_with_json
@_installed
def template_list(here: Installation, as_json: bool) -> None:
    """Show all templates with the variables they ask for."""
    rows = [answers.template(row) for row in template_rows.page(None, None, 0, 100_000)]
    shown = rows if as_json else [row | {"variables": _slot_names(row["variables"])} for row in rows]
    print_rows(shown, ("name", "language", "status", "category", "variables"), as_json)


@template.command("show")
@click.argument("name")
@click.argument("language")
@_with_json
@_installed
def template_show(here: Installation, name: str, language: str, as_json: bool) -> None:
    """Show one template: its texts and what each of its slots takes.

    Example: broadcaster template show order_update en
    """
    found = [row for row in template_rows.page(None, name, 0, 1000) if row.language == language]
    if not found:
        raise Misconfigured(f'there is no template "{name}" in {language}; `template list` shows all')
    document = answers.template(found[0])
    if as_json:
        click.echo(json.dumps(document))
        return
    click.echo(f"{name} ({language}), {document['status']}, {document['category']}")
    for component in document["components"]:
        text = component.get("text") or component.get("format") or ""
        labels = ", ".join(button.get("text", button["type"]) for button in component.get("buttons", []))
        click.echo(f"  {component['type']}: {text or labels}")
    slots = [slot | {"component": _slot_place(slot)} for slot in document["variables"]]
    print_rows(slots, ("component", "key", "type", "required"), False)


def _slot_names(slots: list[dict[str, Any]]) -> str:
    return ", ".join(f"{_slot_place(slot)} {slot['key']}" for slot in slots)


def _slot_place(slot: dict[str, Any]) -> str:
    return f"card {slot['card']} {slot['component']}" if "card" in slot else str(slot["component"])


# Tokens


@cli.group()
def token() -> None:
    """The tokens programs use to call the API."""


@token.command("create")
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help=f"One of {', '.join(access.SCOPES)}; repeatable."
)
@click.option("--expires-in", "days", type=click.IntRange(1, 36_500), metavar="DAYS")
@click.option("--style", type=click.Choice(list(STYLES)), help="Look like a token of this vendor.")
@_installed
def token_create(
    _here: Installation, name: str, scopes: tuple[str, ...], days: int | None, style: str | None
) -> None:
    """Make a token and print it, this once.

    Example: broadcaster token create crm --scope broadcasts:write --scope broadcasts:read
    """
    prefix = STYLES[style] if style else access.PREFIX
    click.echo(access.create_token(name, list(dict.fromkeys(scopes)), days, epoch_ms(), prefix))


@token.command("list")
@_with_json
@_installed
def token_list(_here: Installation, as_json: bool) -> None:
    """Show the tokens: names, scopes and ends, never the tokens themselves."""
    rows = [
        {
            "id": row.id,
            "name": row.name,
            "scopes": row.scopes.split() if as_json else row.scopes,
            "createdAt": wire.format_time(row.created_at),
            "expiresAt": wire.format_time(row.expires_at),
            "revokedAt": wire.format_time(row.revoked_at),
            "usedAt": wire.format_time(row.used_at),
        }
        for row in token_rows.all_tokens()
    ]
    print_rows(rows, ("id", "name", "scopes", "expiresAt", "revokedAt", "usedAt"), as_json)


@token.command("revoke")
@click.argument("token_id")
@_installed
def token_revoke(_here: Installation, token_id: str) -> None:
    """End a token for good, by the id `token list` shows."""
    if not token_rows.revoke(token_id, epoch_ms()):
        raise Misconfigured(f'no valid token has the id "{token_id}"; `token list` shows all')
    click.echo(f"token {token_id} revoked")


@cli.command("dashboard-password")
@_installed
def dashboard_password(_here: Installation) -> None:
    """Set the password that opens the dashboard, asked for twice; a line on standard input does as well.

    Example: broadcaster dashboard-password
    """
    if sys.stdin.isatty():
        password = click.prompt("New password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    access.set_password(password)
    click.echo("the password is set; whoever signed in with the one before is signed out")


# Broadcasts


@cli.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--channel", "channel_id", help="Meta's phone_number_id; required for CSV.")
@click.option("--template", "template_name", help="Required for CSV.")
@click.option("--language", help="Language code of the template.")
@click.option("--schedule-at", help="Time with zone, like 2026-06-10T07:00:00Z.")
@click.option("--title")
@click.option("--dry-run", is_flag=True, help="Say what would happen, store nothing.")
@click.option("--watch", is_flag=True, help="Stay and show the progress.")
@_with_json
@_installed
def send(
    here: Installation,
    file: Path,
    channel_id: str | None,
    template_name: str | None,
    language: str | None,
    schedule_at: str | None,
    title: str | None,
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
    plan = _plan_file(here, raw, given, named, now)
    if dry_run:
        print_plan(answers.plan(plan, here.settings, now), as_json)
        return
    answer, _ = broadcasts.submit(
        plan, here.bell, here.settings, lambda progress: wire.dumps(answers.broadcast(progress)), now
    )
    accepted = json.loads(answer)
    if not as_json:
        total = accepted["stats"]["total"]
        click.echo(f"{accepted['id']}: {total} messages accepted, {accepted['duplicates']} duplicates")
    if watch:
        _watch(here, accepted["id"], as_json)
    if as_json:
        print_document(_answer(here, accepted["id"]) if watch else accepted, True)


def _plan_file(
    here: Installation, raw: bytes, given: dict[str, str | None], named: dict[str, str | None], now: int
) -> planning.Plan:
    """The plan of a CSV or JSON file, with the options laid over it; faults name rows of a CSV."""
    faults = Faults()
    table: recipients_csv.Rows | None = None
    if raw.lstrip()[:1] == b"{":
        document = wire.loads(raw, faults)
    else:
        table = recipients_csv.read(raw)
        document = {"recipients": table.recipients}
        for number, message in table.faults:
            faults.add(f"row {number}", message)
    document |= _present(given)
    template = document.get("template", {})
    if isinstance(template, dict) and (template or _present(named)):
        document["template"] = template | _present(named)
    try:
        return planning.plan(shapes.spec(document, faults), faults, now)
    except Invalid as error:
        raise Invalid(table.by_row(error.faults) if table else error.faults) from None


@cli.command("list")
@click.option(
    "--status",
    type=click.Choice(ledger.STATUSES),
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@_with_json
@_installed
def list_broadcasts(here: Installation, status: str | None, limit: int, as_json: bool) -> None:
    """Show the latest broadcasts with their counters."""
    found = [answers.broadcast(p) for p in broadcasts.page(status, None, limit, here.settings, epoch_ms())]
    rows = found if as_json else [row | row["stats"] | {"template": row["template"]["name"]} for row in found]
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


@cli.command()
@click.argument("broadcast_id")
@click.option("--watch", is_flag=True, help="Stay until it is over.")
@_with_json
@_installed
def status(here: Installation, broadcast_id: str, watch: bool, as_json: bool) -> None:
    """Show where a broadcast stands and, if it waits, why."""
    if watch:
        _watch(here, broadcast_id, as_json)
    print_document(_answer(here, broadcast_id), as_json)


@cli.command()
@click.argument("broadcast_id")
@_with_json
@_installed
def stop(here: Installation, broadcast_id: str, as_json: bool) -> None:
    """Cancel everything that has not left yet. This cannot be undone."""
    document = answers.stopped(broadcasts.stop(broadcast_id, here.settings, epoch_ms()))
    if as_json:
        click.echo(json.dumps(document))
        return
    numbers = document["stopped"]
    click.echo(f"stopped: {numbers['cancelled']} cancelled, {numbers['inFlight']} were already on their way")


@cli.command()
@click.argument("broadcast_id")
@_with_json
@_installed
def pause(here: Installation, broadcast_id: str, as_json: bool) -> None:
    """Hold a broadcast back until it is resumed."""
    print_document(answers.broadcast(broadcasts.pause(broadcast_id, here.settings, epoch_ms())), as_json)


@cli.command()
@click.argument("broadcast_id")
@_with_json
@_installed
def resume(here: Installation, broadcast_id: str, as_json: bool) -> None:
    """Let a paused broadcast go on."""
    document = answers.broadcast(broadcasts.resume(broadcast_id, here.bell, here.settings, epoch_ms()))
    print_document(document, as_json)


@cli.command()
@click.argument("broadcast_id")
@click.option("--code", help="Only those that failed with this code.")
@_with_json
@_installed
def retry(here: Installation, broadcast_id: str, code: str | None, as_json: bool) -> None:
    """Send failed messages again: all, or those with a code.

    What may have been delivered goes only with --code OUTCOME_UNKNOWN.

    Example: broadcaster retry 7c9e6679-7425-40de-944b-e07fc1f90ae7 --code 131049
    """
    progress, count = broadcasts.retry(broadcast_id, code, here.bell, here.settings, epoch_ms())
    if as_json:
        click.echo(json.dumps(answers.broadcast(progress) | {"retried": count}))
        return
    click.echo(f"{count} messages are tried again")


@cli.command()
@click.argument("broadcast_id")
@_with_json
@_installed
def errors(_here: Installation, broadcast_id: str, as_json: bool) -> None:
    """Show why messages failed: each code with its number, its meaning and what to do."""
    rows = [answers.failure(*row) for row in broadcasts.errors(broadcast_id)]
    print_rows(rows, ("code", "count", "meaning", "advice"), as_json)


# Opt-outs and callbacks


@cli.group()
def suppression() -> None:
    """People who want no marketing messages."""


@suppression.command("add")
@click.argument("numbers", nargs=-1)
@click.option("--file", type=click.File("rb"), help="A CSV with a column `to`.")
@click.option("--reason", default="by hand", show_default=True)
@_installed
def suppression_add(
    _here: Installation, numbers: tuple[str, ...], file: IO[bytes] | None, reason: str
) -> None:
    """Send these people no marketing.

    Example: broadcaster suppression add +905554443301 --reason "asked on the phone"
    """
    listed = recipients_csv.read(file.read()).recipients if file else []
    given = [*numbers, *(row["to"] for row in listed)]
    if not given:
        raise click.UsageError("name at least one number, or a --file")
    faults = Faults()
    people = shapes.people({"to": given, "reason": reason}, faults)
    new = optouts.suppress(people.to, people.reason, "command line", epoch_ms())
    click.echo(f"{len(new)} people suppressed, {len(set(people.to)) - len(new)} were before")


@suppression.command("remove")
@click.argument("number")
@_installed
def suppression_remove(_here: Installation, number: str) -> None:
    """Let marketing go to this person again."""
    if not optouts.lift(number, "command line", epoch_ms()):
        raise Misconfigured(f"{number} is not suppressed")
    click.echo(f"{number} may be written to again")


@suppression.command("list")
@_with_json
@_installed
def suppression_list(_here: Installation, as_json: bool) -> None:
    """Show all who want no marketing, and how we know."""
    rows = [answers.suppression(row) for row in suppression_rows.page("", 1_000_000)]
    print_rows(rows, ("to", "reason", "source", "createdAt"), as_json)


@cli.command("replay-callbacks")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 30))
@_installed
def replay_callbacks(here: Installation, days: int) -> None:
    """Do again what Meta's callbacks of the last days asked for. Doing it twice changes nothing more."""
    now = epoch_ms()
    with database.transaction():
        count = inbox.replay(here.settings, now - days * access.DAY, now)
    click.echo(f"{count} callbacks replayed")


@cli.command()
@click.argument("broadcast_id")
@click.option("--failed", is_flag=True, help="Only the failed messages.")
@_installed
def export(_here: Installation, broadcast_id: str, failed: bool) -> None:
    """Write the messages of a broadcast as CSV to standard output.

    Example: broadcaster export 7c9e6679-7425-40de-944b-e07fc1f90ae7 --failed > failed.csv
    """
    filters = {"state": "failed"} if failed else {}
    for lines in answers.csv_pages(broadcast_id, filters):
        click.echo(lines, nl=False)


def _present(options: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def _watch(here: Installation, broadcast_id: str, as_json: bool) -> None:
    """A bar until the broadcast is over; Ctrl-C leaves it running."""
    watch_progress(err if as_json else out, lambda: _answer(here, broadcast_id))


def _answer(here: Installation, broadcast_id: str) -> dict[str, Any]:
    return answers.broadcast(broadcasts.progress(broadcast_id, here.settings, epoch_ms()))
