"""SQLite: its drivers, the queue before its write lock, its statements over many rows, and its files.

cysqlite is the driver because it brings its own SQLite: the one of Debian 12 has the WAL-reset
corruption fault (3.7.0 to 3.51.2). `sqlite+stdlib:///` takes the standard library's instead.

Whoever finds SQLite's write lock taken sleeps, longer each time, and looks again: who writes often keeps out
who waits. So transactions queue before it, whichever process and thread they come from, at the locks of two
files: whoever holds `next` is the next to write, whoever holds `turn` writes. Who has just written queues at
`next` behind whoever waits there. The kernel frees both locks when a process ends.
"""

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from peewee import Database, Model, OperationalError, PeeweeException, SqliteDatabase
from playhouse.cysqlite_ext import CySqliteDatabase

from broadcaster.errors import Misconfigured

BUSY_SECONDS = 10
"""So long the write lock is waited for."""
_PRAGMAS = {
    "journal_mode": "wal",
    # NORMAL may forget a claim when the power fails, and the message would be sent twice.
    "synchronous": "full",
    "foreign_keys": 1,
    "cache_size": -8000,
    "journal_size_limit": 67_108_864,
}
_LEAST_ROOM = 4 * 1024 * 1024
"""Bytes."""
_MOST_VALUES = 30_000
"""In one statement; SQLite's limit is 32,766."""
WRITERS, MOST_AT_ONCE = 1, 64
"""An fsync costs the same for one job as for fifty."""
LOCKING = PASSING = ""
"""The write lock keeps all apart."""
_LOOK_SECONDS = 0.0005
"""Between two looks at a lock. Waiting in the kernel would have no limit of time, and is no faster."""


class _Turn(threading.local):
    """A thread's own opening of the two files: a lock is an opening's, whatever thread uses it."""

    path = ""
    next: IO[bytes]
    turn: IO[bytes]
    is_ours = False

    def take(self, path: str) -> None:
        """Wait for the turn to write; raises OperationalError."""
        if self.path != path:
            self.next, self.turn = _opened(f"{path}-next"), _opened(f"{path}-turn")
            self.path = path
        until = time.monotonic() + BUSY_SECONDS
        _lock(self.next, until)
        try:
            _lock(self.turn, until)
        finally:
            fcntl.flock(self.next, fcntl.LOCK_UN)
        self.is_ours = True

    def give_up(self) -> None:
        if self.is_ours:
            self.is_ours = False
            fcntl.flock(self.turn, fcntl.LOCK_UN)


def _opened(path: str) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb")


def _lock(file: IO[bytes], until: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise OperationalError("database is locked") from None
            time.sleep(_LOOK_SECONDS)
        else:
            return


class _InTurn(SqliteDatabase):
    """Each transaction waits for its turn."""

    database: str

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self._turn = _Turn()

    def begin(self, lock_type: str | None = None) -> None:
        self._turn.take(self.database)
        try:
            super().begin(lock_type)
        except BaseException:
            self._turn.give_up()
            raise

    def commit(self) -> None:
        super().commit()
        self._turn.give_up()

    def rollback(self) -> None:
        try:
            super().rollback()
        finally:
            self._turn.give_up()


class CySqlite(_InTurn, CySqliteDatabase):  # type: ignore[misc]
    """SQLite by cysqlite."""


class StdlibSqlite(_InTurn, SqliteDatabase):
    """SQLite by the standard library."""


DRIVERS: dict[str, type[SqliteDatabase]] = {"sqlite": CySqlite, "sqlite+stdlib": StdlibSqlite}
"""For each engine a database URL may begin with."""


def open(url: str) -> Database:
    """The database at `url`, its file created (0600); raises Misconfigured."""
    engine, _, location = url.partition(":///")
    if engine not in DRIVERS:
        raise Misconfigured(f"there is no driver for {engine}; there are {', '.join(DRIVERS)}")
    path = Path(location)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise Misconfigured(f"the database {path} cannot be opened: {error.strerror}") from None
    # Deferred transactions that read before they write fail at once, whatever the timeout.
    database = DRIVERS[engine](str(path), pragmas=_PRAGMAS, timeout=BUSY_SECONDS, lock_type="IMMEDIATE")
    try:
        database.connect()
    except PeeweeException as error:
        raise Misconfigured(f"the database {path} cannot be used: {error}") from None
    return database


@contextmanager
def migrating(database: Database) -> Iterator[None]:
    """One process at a time."""
    descriptor = os.open(f"{database.database}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def change_rows(database: Database, sql: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    """Run a statement that reads `rows` as a table v with these columns; returns how many rows it changed.

    One statement for all: SQLite gives up the interpreter's lock at every step, and a step for
    each row would queue for it behind the sender's loop again and again (2,000 updates beside
    a busy thread: 8 s one by one, 40 ms in four statements).
    """
    changed = 0
    for part in _parts(rows, len(columns)):
        statement = f"WITH v ({', '.join(columns)}) AS (VALUES {_places(part, columns)}) {sql}"
        cursor = database.execute_sql(statement, [value for row in part for value in row])
        changed += cursor.rowcount if cursor.rowcount >= 0 else _last_changes(database)
    return changed


def _last_changes(database: Database) -> int:
    """Python's own sqlite3 does not count for a statement that begins with WITH."""
    return int(database.execute_sql("SELECT changes()").fetchone()[0])


def insert_rows(
    database: Database, model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]], clause: str
) -> None:
    """Insert rows of one table in order, many with a statement."""
    into = f"INSERT INTO {model._meta.table_name} ({', '.join(columns)})"
    for part in _parts(rows, len(columns)):
        values = [value for row in part for value in row]
        database.execute_sql(f"{into} VALUES {_places(part, columns)} {clause}", values)


def insert_for_ids(
    database: Database, model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> list[int]:
    """Insert rows of one table; returns their ids, in order."""
    insert_rows(database, model, columns, rows, "")
    # Under the write lock the newest ids are ours.
    query = f"SELECT id FROM {model._meta.table_name} ORDER BY id DESC LIMIT ?"
    newest = database.execute_sql(query, [len(rows)]).fetchall()
    return [row_id for (row_id,) in reversed(newest)]


def fetch(database: Database, sql: str, values: Sequence[Any], columns: int) -> list[list[Any]]:
    """The rows of a statement over texts and numbers, fetched in a single step (see change_rows)."""
    listed = ", ".join(f"c{i}" for i in range(columns))
    statement = f"WITH q ({listed}) AS ({sql}) SELECT json_group_array(json_array({listed})) FROM q"
    rows: list[list[Any]] = json.loads(database.execute_sql(statement, values).fetchone()[0])
    return rows


def lock_broadcasts(_database: Database, _ids: Sequence[int]) -> None:
    """The write lock keeps all apart."""


def lock_broadcasts_of(_database: Database, _message_ids: Sequence[int]) -> None:
    """The write lock keeps all apart."""


def lock_name(_database: Database, _name: str) -> None:
    """The write lock keeps all apart."""


def try_name(_database: Database, _name: str) -> bool:
    """The write lock keeps all apart."""
    return True


def is_conflict(_error: BaseException) -> bool:
    """The write lock keeps all apart."""
    return False


def is_unstorable(_error: BaseException) -> bool:
    """Every text can be stored."""
    return False


def ahead(_database: Database) -> int:
    """The machine's clock is the one there is."""
    return 0


def findings(_database: Database) -> list[tuple[str, bool, str, str | None]]:
    """A file has no server; doctor looks at it by itself."""
    return []


def release(_database: Database) -> None:
    """A thread keeps its connection: opening one costs more than all it is used for."""


def has_room(database: Database) -> bool:
    """Whether the disk of the database has room for what a second of sending writes."""
    return shutil.disk_usage(Path(database.database).parent).free >= _LEAST_ROOM


def version(database: Database) -> str:
    """SQLite's version, of the driver in use."""
    return ".".join(map(str, database.server_version))


def skip_ids(database: Database, count: int) -> None:
    """Leave a gap in the ids of messages, so that those given out since a backup are not given again."""
    database.execute_sql("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'message'", [count])


def copy_to(database: Database, target: Path) -> None:
    """Write a consistent copy of the open database, while others write; raises Misconfigured."""
    try:
        database.execute_sql("VACUUM INTO ?", [str(target)])
    except PeeweeException as error:
        raise Misconfigured(
            f"{target.name} cannot be written in {target.parent}: {error.__cause__ or error}"
        ) from None


def check(database: Database) -> str:
    """What SQLite's own check of the open database says: `ok`, or the first fault."""
    return str(database.execute_sql("PRAGMA quick_check(1)").fetchone()[0])


def verify(path: Path, known: set[str]) -> None:
    """Raises Misconfigured unless a file is a sound database of ours with no migration but these."""
    other = CySqliteDatabase(str(path), timeout=BUSY_SECONDS)
    try:
        found = str(other.execute_sql("PRAGMA integrity_check(1)").fetchone()[0])
        rows = other.execute_sql("SELECT name FROM schema_migration").fetchall()
    except PeeweeException as error:
        raise Misconfigured(f"{path.name} is no database of ours: {error}") from None
    finally:
        other.close()
    if found != "ok":
        raise Misconfigured(f"{path.name} is damaged: {found}")
    newer = sorted({name for (name,) in rows} - known)
    if newer:
        raise Misconfigured(
            f"{path.name} was written by a newer release (it has {newer[-1]}): install that one"
        )


def fold_in(database: Database) -> None:
    """Bring what stands in the write-ahead log into the database's file."""
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _places(rows: Sequence[Any], columns: Sequence[str]) -> str:
    return ", ".join(["(" + ", ".join("?" * len(columns)) + ")"] * len(rows))


def _parts(rows: Sequence[Sequence[Any]], width: int) -> Iterator[Sequence[Sequence[Any]]]:
    size = min(500, _MOST_VALUES // width)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
