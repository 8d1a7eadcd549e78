"""Upkeep: backups, restoring one, and erasing people."""

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from peewee import Database

from broadcaster.config import Settings
from broadcaster.domain import phone, timestamps
from broadcaster.errors import Faults, Invalid, Misconfigured
from broadcaster.services import progress
from broadcaster.services.start_up import open_installation
from broadcaster.settlement import lifecycle
from broadcaster.store import database, leases, messages, people, retention, sessions, suppressions
from broadcaster.worker import presence
from broadcaster.worker.schedule import Schedule

DAY = 86_400_000
_CONTACTS_AT_ONCE = 2000
_FLUSH_SECONDS = 0.05
_THEIRS = (
    'on PostgreSQL a backup is the server\'s: pg_dump -Fc "$BROADCASTER_DATABASE_URL" > broadcaster.dump, and'
    " keep the key beside it"
)
_GAP = 1_000_000
"""Ids left out after a restore: more than messages were accepted since the backup."""


def backup(target: Path, overwrite: bool = False) -> int:
    """Copy the open database to a file (0600) that gets its name once it is verified; returns its bytes.

    Raises Misconfigured.
    """
    if not database.is_file():
        raise Misconfigured(_THEIRS)
    if target.exists() and not overwrite:
        raise Misconfigured(f"{target} exists: choose another name, or say --force")
    draft = target.with_name(f"{target.name}.part")
    try:
        draft.unlink(missing_ok=True)
        with _flushed(draft):
            database.copy_to(draft)
        database.verify(draft)
        _durable(draft)
        draft.replace(target)
        _sync(target.parent, os.O_DIRECTORY)
    except OSError as error:
        raise Misconfigured(f"{target} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    return target.stat().st_size


@contextmanager
def _flushed(path: Path) -> Iterator[None]:
    """Bring what is written to a file to the disk as it grows: all of it at once, at the end, would keep the
    server's commits waiting for seconds."""
    over = threading.Event()

    def flush() -> None:
        while not over.wait(_FLUSH_SECONDS):
            with suppress(OSError):
                _sync(path, os.O_RDONLY)

    thread = threading.Thread(target=flush, name="flush", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def restore(source: Path, settings: Settings, now: int) -> tuple[int, Path | None]:
    """Put a backup in the place of the database, with everything that had not ended paused.

    What waited in the backup may have been sent since; nothing of it leaves before somebody resumes it.
    Returns how many broadcasts are paused and where the database that was there is kept. Raises
    Misconfigured, with nothing changed.
    """
    if not database.is_file(settings.database):
        raise Misconfigured(_THEIRS)
    place = _place(settings)
    if not source.is_file():
        raise Misconfigured(f"there is no file {source}")
    taken_at = int(source.stat().st_mtime * 1000)
    with presence.alone(settings.data_dir):
        draft = place.with_name(f"{place.name}.restored")
        _remove(draft)
        try:
            shutil.copyfile(source, draft)
            draft.chmod(0o600)
            database.verify(draft)
            paused = _pause_all(draft, settings, taken_at, now)
            _durable(draft)
            kept = _keep(place, settings)
            draft.replace(place)
            _sync(place.parent, os.O_DIRECTORY)
        except OSError as error:
            raise Misconfigured(f"{source} cannot be restored: {error.strerror}") from None
        finally:
            _remove(draft)
    return paused, kept


def calm(settings: Settings, now: int) -> int:
    """Pause everything in a server's database that somebody restored, or that a fail-over set back.

    What waited in it may have been sent since. Returns how many broadcasts are paused. Raises Misconfigured
    for a file of ours and while a worker runs.
    """
    if database.is_file(settings.database):
        raise Misconfigured("on SQLite name the backup: `broadcaster restore FILE`")
    opened, _ = open_installation(settings)
    try:
        seen = leases.last_beat()
        if seen is not None and now - seen <= progress.HEARTBEAT_MS:
            raise Misconfigured("a worker runs: stop all of them, on every host, and try again in 15 seconds")
        return _pause_everything(opened, "restored", now)
    finally:
        database.close()


def _place(settings: Settings) -> Path:
    return Path(settings.database.partition(":///")[2])


def _pause_all(draft: Path, settings: Settings, taken_at: int, now: int) -> int:
    """Bring the copy up to date and pause all in it; returns how many broadcasts."""
    engine = settings.database.partition(":///")[0]
    opened, _ = open_installation(settings.model_copy(update={"database_url": f"{engine}:///{draft}"}))
    try:
        paused = _pause_everything(
            opened, f"restored from a backup of {timestamps.format_time(taken_at)}", now
        )
        database.fold_in()
    finally:
        database.close()
    return paused


def _pause_everything(opened: Database, what: str, now: int) -> int:
    with database.transaction():
        paused = lifecycle.pause_all(f"{what}: some may have been sent since", now)
        leases.forget_all()
        database.skip_ids(_GAP)
    Schedule(opened).clear()
    return paused


def _keep(place: Path, settings: Settings) -> Path | None:
    """Keep the database that is there under a second name; None if there is none."""
    if not place.exists():
        return None
    # Its newest changes may stand in the log beside it.
    database.open(settings.database)
    try:
        database.fold_in()
    finally:
        database.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{place}{suffix}").unlink(missing_ok=True)
    # It keeps its own name until the copy takes it: a start between the two would make an empty one.
    kept = _free_name(place)
    os.link(place, kept)
    # The old log must not come back after a power loss and be read as the copy's.
    _sync(place.parent, os.O_DIRECTORY)
    return kept


def _free_name(place: Path) -> Path:
    stamp = datetime.fromtimestamp(time.time(), UTC)
    first = kept = place.with_name(f"{place.name}.before-restore-{stamp:%Y%m%dT%H%M%S}")
    others = count(2)
    while kept.exists():
        kept = first.with_name(f"{first.name}.{next(others)}")
    return kept


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _durable(path: Path) -> None:
    path.chmod(0o600)
    _sync(path, os.O_RDONLY)
    _sync(path.parent, os.O_DIRECTORY)


def _sync(path: Path, how: int) -> None:
    descriptor = os.open(path, how)
    os.fsync(descriptor)
    os.close(descriptor)


def purge(days: int, now: int, dry_run: bool = False) -> dict[str, int]:
    """Erase the people of broadcasts that ended more than `days` ago; all counts stay. Returns how many
    broadcasts, messages and contacts."""
    before = now - days * DAY
    broadcasts = retention.overdue(before)
    if dry_run:
        return {"broadcasts": len(broadcasts)}
    blanked = retention.forget_people_of(broadcasts, now)
    contacts = retention.forget_idle_contacts(before)
    retention.forget_reached(now - DAY)
    sessions.forget(now)
    while retention.forget_erased(_CONTACTS_AT_ONCE):
        pass
    return {"broadcasts": len(broadcasts), "messages": blanked, "contacts": contacts}


def erase(person: str, now: int, country: str | None = None) -> dict[str, int]:
    """Forget a person, under every name: what waits for them is cancelled, what names them is erased.

    `country` (ISO code) is where a national number is from.

    Returns how many of each, and how many messages are still on their way. An opt-out stays, for it is what
    keeps them from being written to; that they were reached stays for a day, for the allowance. Raises
    Invalid for what is neither a number nor a user id, nor stands on the list of opt-outs.
    """
    name = _person(person, country)
    contact_id, names = people.one(name), people.all_names(name)
    waiting = retention.waiting_for(names)
    with database.transaction():
        ids = [row_id for row_id, _ in waiting]
        cancelled = messages.withdraw(ids, retention.ERASED, "the person was erased", now)
        lifecycle.finish({broadcast_id for _, broadcast_id in waiting}, now)
    found = retention.erase(names, contact_id, now)
    return {"cancelled": cancelled, **found, "onTheirWay": retention.on_their_way(names)}


def _person(text: str, country: str | None) -> str:
    try:
        return phone.recipient(text, country)
    except ValueError as error:
        if suppressions.find(text) is not None:
            return text
        faults = Faults()
        faults.add("NUMBER", str(error))
        raise Invalid(faults) from None
