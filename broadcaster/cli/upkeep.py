"""Commands for those who run it: backups, and forgetting people."""

import json
from pathlib import Path

import click

from broadcaster import config
from broadcaster.cli.installation import Installation, installed, with_country, with_json
from broadcaster.cli.saying import printable, say
from broadcaster.clock import epoch_ms
from broadcaster.errors import Misconfigured
from broadcaster.services import upkeep
from broadcaster.store import database


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@installed
def backup(here: Installation, file: Path, force: bool) -> None:
    """Copy the database to FILE while the server runs, and verify the copy.

    Keep secret.key of the data directory beside it: Meta's tokens are encrypted with it.

    Example: broadcaster backup /backups/broadcaster-$(date +%F).db
    """
    size = upkeep.backup(file, force)
    key = here.settings.data_dir / "secret.key"
    say(f"{file}: {size / 1024**2:.1f} MiB, verified; keep {key} with it, once")


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--calm", is_flag=True, help="On PostgreSQL: pause everything after a restore of your own.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def restore(file: Path | None, calm: bool, yes: bool) -> None:
    """Put the backup FILE in the place of the database; the server must be stopped.

    What had not ended comes up paused, for some of it may have been sent since the backup was taken. The
    database that was there is kept beside it. On PostgreSQL the server restores: call this with --calm and
    without a file after pg_restore or a fail-over, before anything else is started.

    Example: broadcaster restore /backups/broadcaster-2026-06-10.db
    """
    settings = config.load()
    if calm == (file is not None):
        raise click.UsageError("name a FILE, or say --calm")
    if file is None:
        paused = upkeep.calm(settings, epoch_ms())
        say(f"{paused} broadcasts are paused: look at each, then `broadcaster resume ID`")
        return
    if not yes and database.is_file(settings.database):
        click.confirm(f"Put {printable(str(file))} in the place of {settings.database}?", abort=True)
    paused, kept = upkeep.restore(file, settings, epoch_ms())
    say(f"restored; {paused} broadcasts are paused: look at each, then `broadcaster resume ID`")
    if kept:
        say(f"the database that was there is {kept}")


@click.command()
@click.option("--days", type=click.IntRange(1, 36_500), help="Instead of BROADCASTER_RETENTION_DAYS.")
@click.option("--dry-run", is_flag=True, help="Only say how many broadcasts it would be.")
@with_json
@installed
def purge(here: Installation, days: int | None, dry_run: bool, as_json: bool) -> None:
    """Erase numbers and variables of broadcasts that ended long ago; counts stay. Runs every night anyway.

    Example: broadcaster purge --days 30
    """
    days = days or here.settings.retention_days
    found = upkeep.purge(days, epoch_ms(), dry_run)
    if as_json:
        say(json.dumps(found))
        return
    told = ", ".join(f"{count} {name}" for name, count in found.items())
    say(f"{'would erase' if dry_run else 'erased'} the people of: {told} (older than {days} days)")


@click.command()
@click.argument("number")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_country
@with_json
@installed
def erase(here: Installation, number: str, yes: bool, country: str | None, as_json: bool) -> None:
    """Forget a person: cancel what waits for NUMBER and erase what names it. This cannot be undone.

    An opt-out stays, for it keeps the person from being written to.

    Example: broadcaster erase +905554443301
    """
    if not yes:
        click.confirm(f"Erase everything about {printable(number)}?", abort=True)
    found = upkeep.erase(number, epoch_ms(), here.country(country))
    if as_json:
        say(json.dumps(found))
        return
    names = {"onTheirWay": "still on their way"}
    say(", ".join(f"{count} {names.get(name, name)}" for name, count in found.items()))
    if found["onTheirWay"]:
        raise Misconfigured("messages to this person are on their way: erase again once they have ended")
