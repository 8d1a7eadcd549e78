"""Doctor: looks for what keeps an installation from sending or from getting receipts, and says what to do."""

import re
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from broadcaster.config import PREFIX, Settings, is_secret
from broadcaster.errors import GraphError, Misconfigured
from broadcaster.meta.management import Graph
from broadcaster.services import progress
from broadcaster.services.planning import is_verified
from broadcaster.store import broadcasts, callbacks, channels, database, leases, message_queries
from broadcaster.store.models import Channel
from broadcaster.vault import Vault
from broadcaster.worker.schedule import Schedule

OK, WARN, FAIL = "ok", "warn", "fail"
DAY = 86_400_000
_LEAST_FREE = 1024**3
_LARGE_LOG = 256 * 1024**2
_MOST_APART = 30
_MOST_WAITING_TASKS = 10_000
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "lustre")
_PASSWORD = re.compile(r"//[^/@]*@")
_MISSED = {
    "app_secret": "without it Meta's callbacks are refused",
    "verify_token": "without it Meta cannot register the callback's address; receipts arrive all the same",
}
"""What does not work while a setting is not set."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `ok`, `warn` or `fail`, what was seen, and what to do about it."""

    name: str
    result: str
    seen: str
    remedy: str | None = None


def examine(settings: Settings, vault: Vault, schedule: Schedule, now: int) -> Iterator[Finding]:
    """Look at everything, one thing after the other; asks Graph about each channel."""
    yield from _settings(settings)
    checks: tuple[Callable[[Settings, int], Finding], ...] = (_worker, _receipts, _unknown, _held)
    if database.is_file(settings.database):
        checks = (_driver, _file_system, _permissions, _disk, _soundness, _log, *checks)
    for name, is_well, seen, remedy in database.findings():
        yield Finding(name, OK if is_well else WARN, seen, remedy)
    for check in checks:
        yield check(settings, now)
    yield _bells(schedule)
    rows = channels.all_channels()
    if not rows:
        yield Finding("channels", WARN, "none", "add one: `broadcaster channel add`")
    clocks: list[float] = []
    for row in rows:
        yield from _channel(row, settings, vault, clocks)
    if clocks:
        yield _clock(min(clocks))


def _settings(settings: Settings) -> Iterator[Finding]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        shown = "set" if is_secret(name) and value else _PASSWORD.sub("//", _shown(value))
        missed = None if value else _MISSED.get(name)
        remedy = f"set {PREFIX}{name.upper()}: {missed}" if missed else None
        yield Finding(f"{PREFIX}{name.upper()}", WARN if missed else OK, shown, remedy)


def _shown(value: object) -> str:
    if value in (None, "", []):
        return "not set"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _driver(settings: Settings, _now: int) -> Finding:
    version = tuple(map(int, database.version().split(".")))
    bad = (3, 7, 0) <= version <= (3, 51, 2)
    remedy = "use sqlite:/// instead of sqlite+stdlib:///: this version can damage its log" if bad else None
    own = "" if settings.database.startswith("sqlite:") else f" (Python's {sqlite3.sqlite_version})"
    return Finding("SQLite", WARN if bad else OK, f"{database.version()}{own}", remedy)


def _file_system(settings: Settings, _now: int) -> Finding:
    kind = _kind_of(settings.data_dir.resolve())
    bad = kind in _NETWORK
    remedy = (
        "move BROADCASTER_DATA_DIR to a local disk: SQLite's log does not work over a network"
        if bad
        else None
    )
    return Finding("file system", FAIL if bad else OK, kind or "unknown", remedy)


def _kind_of(path: Path) -> str | None:
    """The type of the file system a path is on, as Linux tells it."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return None
    holding = [(point, kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(holding, key=lambda mount: len(mount[0]))[1] if holding else None


def _permissions(settings: Settings, _now: int) -> Finding:
    files = [database.path(), settings.data_dir / "secret.key"]
    open_ones = [path.name for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077]
    remedy = f"chmod 600 {' '.join(open_ones)}: others of this machine can read them" if open_ones else None
    return Finding("permissions", WARN if open_ones else OK, ", ".join(open_ones) or "0600", remedy)


def _disk(settings: Settings, _now: int) -> Finding:
    free = shutil.disk_usage(settings.data_dir).free
    remedy = None if free >= _LEAST_FREE else "make room: a full disk stops accepting and sending"
    return Finding("disk", OK if remedy is None else WARN, f"{free / 1024**3:.1f} GiB free", remedy)


def _soundness(_settings: Settings, _now: int) -> Finding:
    found = database.check()
    remedy = None if found == "ok" else "stop the server and restore a backup: `broadcaster restore FILE`"
    return Finding("database", OK if remedy is None else FAIL, found, remedy)


def _log(_settings: Settings, _now: int) -> Finding:
    log = Path(f"{database.path()}-wal")
    size = log.stat().st_size if log.exists() else 0
    remedy = None if size < _LARGE_LOG else "something reads for very long; restart the server"
    return Finding("write-ahead log", OK if remedy is None else WARN, f"{size / 1024**2:.1f} MiB", remedy)


def _worker(_settings: Settings, now: int) -> Finding:
    seen = leases.last_beat()
    if seen is None or now - seen > progress.HEARTBEAT_MS:
        return Finding("worker", WARN, "none is running", "start `broadcaster run` or `broadcaster worker`")
    count, held = len(leases.workers()), len(leases.paces(now))
    return Finding("worker", OK, f"{count} running, {held} channels being sent for")


def _receipts(_settings: Settings, now: int) -> Finding:
    last, sent = callbacks.last_received(), message_queries.last_sent()
    shown = "never" if last is None else f"{(now - last) // 1000} s ago"
    silent = sent is not None and sent > now - DAY and (last is None or last < sent - DAY // 24)
    remedy = (
        "see that Meta's webhook points to https://.../callbacks/meta and is subscribed" if silent else None
    )
    return Finding("last receipt", WARN if silent else OK, shown, remedy)


def _unknown(_settings: Settings, _now: int) -> Finding:
    count = message_queries.unsettled()
    remedy = "receipts settle them; without any they are given up after the window" if count else None
    return Finding("unknown messages", WARN if count else OK, str(count), remedy)


def _held(_settings: Settings, now: int) -> Finding:
    held = broadcasts.page("paused", None, 100, now)
    remedy = "`broadcaster status ID` says why; `broadcaster resume ID` lets it go on" if held else None
    seen = f"{len(held)}: {held[0].public_id}" if held else "none"
    return Finding("paused broadcasts", WARN if held else OK, seen, remedy)


def _bells(schedule: Schedule) -> Finding:
    count = sum(schedule.waiting().values())
    remedy = (
        None
        if count < _MOST_WAITING_TASKS
        else "is a worker running? Nothing is lost: the sweep finds what is due"
    )
    return Finding("huey queue", OK if remedy is None else WARN, f"{count} tasks", remedy)


def _channel(row: Channel, settings: Settings, vault: Vault, clocks: list[float]) -> Iterator[Finding]:
    name = f"channel {row.phone_number_id}"
    renew = f"`broadcaster channel sync {row.phone_number_id} --access-token -` with a good token"
    if row.paused_at is not None:
        yield Finding(
            name, FAIL, f"paused for {row.pause_reason}: {row.pause_detail}", f"mend it, then {renew}"
        )
    try:
        token = vault.unlock(row.access_token)
    except Misconfigured as error:
        yield Finding(name, FAIL, str(error), f"restore secret.key, or {renew}")
        return
    graph = Graph(settings.graph_url, settings.graph_version, token)
    try:
        graph.number(row.phone_number_id)
        apps = graph.subscribed_apps(row.waba_id)
    except GraphError as error:
        unreached = "see that this machine reaches Graph"
        yield Finding(name, FAIL, str(error), unreached if error.code is None else renew)
        return
    yield _standing(name, row)
    told = ", ".join(apps) or "none"
    lacking = None if apps else "subscribe your app to the business account, or Meta sends no receipts"
    yield Finding(f"{name} webhook", OK if apps else WARN, told, lacking)
    if graph.time is not None:
        clocks.append(abs(graph.time - time.time()))


def _clock(apart: float) -> Finding:
    remedy = None if apart <= _MOST_APART else "set this machine's clock (NTP): schedules follow it"
    return Finding("clock", OK if remedy is None else WARN, f"{apart:.0f} s from Graph's", remedy)


def _standing(name: str, row: Channel) -> Finding:
    seen = (
        f"{row.status or 'unknown'}, quality {row.quality_rating or 'unknown'}, {row.tier or 'no tier told'}"
    )
    if not is_verified(row):
        return Finding(name, FAIL, seen, "connect and verify the number in Meta's WhatsApp Manager")
    if row.quality_rating == "RED":
        return Finding(name, WARN, seen, "people block or report you: send less, to people who asked for it")
    return Finding(name, OK, seen)


def exit_code(findings: list[Finding]) -> int:
    """0 unless something fails."""
    return int(any(finding.result == FAIL for finding in findings))
