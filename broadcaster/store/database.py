"""The database: opening it, bringing its schema up to date, and what differs between engines."""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from peewee import (
    Database,
    DataError,
    IntegrityError,
    Model,
    PeeweeException,
    ProgrammingError,
)
from playhouse.cysqlite_ext import CySqliteDatabase
from playhouse.migrations import Runner

from broadcaster.errors import Misconfigured
from broadcaster.store import models
from broadcaster.store.sqlite import BUSY_SECONDS, DRIVERS

MIGRATIONS = Path(__file__).with_name("migrations")
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
_NAMED = re.compile(r":([a-z_][a-z_0-9]*)")
_ROW_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
MOST_VALUES = 30_000
"""Values in one statement; SQLite's limit is 32,766, PostgreSQL's 65,535."""


def open(url: str) -> Database:
    """Bind the models to the database at `url`, creating the file (0600); the schema is migrate()'s.

    Raises Misconfigured.
    """
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
    models.database.initialize(database)
    try:
        database.connect()
    except PeeweeException as error:
        raise Misconfigured(f"the database {path} cannot be used: {error}") from None
    return database


def migrate(database: Database) -> list[str]:
    """Apply what is missing, one process at a time; returns the names applied.

    Raises Misconfigured if a newer release has been at this database.
    """
    lock = Path(str(database.database) + ".lock")
    with _exclusive(lock):
        runner = _runner(database)
        newer = sorted(set(runner.applied()) - {m.name for m in runner.migrations()})
        if newer:
            raise Misconfigured(
                f"the database was written by a newer release (it has {newer[-1]}): "
                "install that release, or restore a backup"
            )
        applied: list[str] = runner.up()
        _quiet_close(database)
        return applied


def is_current(database: Database) -> bool:
    """Whether exactly the migrations of this release are applied."""
    runner = _runner(database)
    return set(runner.applied()) == {m.name for m in runner.migrations()}


def close() -> None:
    """Close this thread's connection, if it has one."""
    if models.database.obj is not None and not models.database.is_closed():
        models.database.close()


def transaction() -> AbstractContextManager[Any]:
    """One durable transaction, opened with the write lock; inside another it is a savepoint."""
    return models.database.atomic()


def change_rows(sql: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    """Run a statement that reads `rows` as a table v with these columns; returns how many rows it changed.

    One statement for all: SQLite gives up the interpreter's lock at every step, and a step for
    each row would queue for it behind the sender's loop again and again (2,000 updates beside
    a busy thread: 8 s one by one, 40 ms in four statements).
    """
    database = models.database.obj
    one = "(" + ", ".join([database.param] * len(columns)) + ")"
    changed = 0
    for part in _parts(rows, len(columns)):
        values = ", ".join([one] * len(part))
        statement = f"WITH v ({', '.join(columns)}) AS (VALUES {values}) {sql}"
        cursor = database.execute_sql(statement, [value for row in part for value in row])
        changed += cursor.rowcount if cursor.rowcount >= 0 else _last_changes(database)
    return changed


def marks(count: int) -> str:
    """Places for so many values in a statement."""
    return ", ".join([models.database.obj.param] * count)


def execute_named(sql: str, values: dict[str, Any]) -> Any:
    """Run a statement with :name places; returns its cursor, which the caller reads at once."""
    statement, names = _placed(sql, models.database.obj.param)
    return models.database.obj.execute_sql(statement, [values[name] for name in names])


@lru_cache(maxsize=64)
def _placed(sql: str, param: str) -> tuple[str, tuple[str, ...]]:
    return _NAMED.sub(param, sql), tuple(_NAMED.findall(sql))


def _last_changes(database: Database) -> int:
    """Python's own sqlite3 does not count for a statement that begins with WITH."""
    return int(database.execute_sql("SELECT changes()").fetchone()[0])


def change(query: Any) -> int:
    """Run an UPDATE or a DELETE; returns how many rows it changed."""
    return int(query.execute())


def insert_rows(
    model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]], clause: str = ""
) -> None:
    """Insert thousands of rows of one table in order, many with a statement; `clause` may say ON CONFLICT."""
    database = models.database.obj
    one = "(" + ", ".join([database.param] * len(columns)) + ")"
    for part in _parts(rows, len(columns)):
        values = ", ".join([one] * len(part))
        statement = f"INSERT INTO {model._meta.table_name} ({', '.join(columns)}) VALUES {values} {clause}"
        database.execute_sql(statement, [value for row in part for value in row])


def delete_in_portions(model: type[Model], which: Any, portion: int = 5000) -> int:
    """Delete these rows, some thousands in a transaction; returns how many."""
    key: Any = model._meta.primary_key
    count = 0
    while True:
        with transaction():
            gone = change(model.delete().where(key.in_(model.select(key).where(which).limit(portion))))
        count += gone
        if gone < portion:
            return count


def has_room() -> bool:
    """Whether the disk of the database has room for what a second of sending writes."""
    return shutil.disk_usage(path().parent).free >= _LEAST_ROOM


def path() -> Path:
    """The open database's file."""
    return Path(models.database.obj.database)


def copy_to(target: Path) -> None:
    """Write a consistent copy of the open database, while others write; raises Misconfigured."""
    try:
        models.database.obj.execute_sql("VACUUM INTO ?", [str(target)])
    except PeeweeException as error:
        raise Misconfigured(
            f"{target.name} cannot be written in {target.parent}: {error.__cause__ or error}"
        ) from None


def check() -> str:
    """What SQLite's own check of the open database says: `ok`, or the first fault."""
    return str(models.database.obj.execute_sql("PRAGMA quick_check(1)").fetchone()[0])


def verify(path: Path) -> None:
    """Raises Misconfigured unless a file is a sound database of ours, of this release or an older one."""
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
    newer = sorted({name for (name,) in rows} - {one.stem for one in MIGRATIONS.glob("[0-9]*.py")})
    if newer:
        raise Misconfigured(
            f"{path.name} was written by a newer release (it has {newer[-1]}): install that one"
        )


def fold_in() -> None:
    """Bring what stands in the write-ahead log into the database's file."""
    models.database.obj.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def skip_ids(count: int) -> None:
    """Leave a gap in the ids of messages, so that those given out since a backup are not given again."""
    models.database.obj.execute_sql(
        "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'message'", [count]
    )


def version() -> str:
    """SQLite's version, of the driver in use."""
    return ".".join(map(str, models.database.server_version))


def tuples(query: Any) -> list[tuple[Any, ...]]:
    """The rows of a query, its cursor closed."""
    return list(query.tuples().execute())


def number(query: Any) -> int | None:
    """The one number a query asks for."""
    found: int | None = query.scalar()
    return found


def fetch_at_once(query: Any) -> list[list[Any]]:
    """The rows of a query over texts and numbers, fetched in a single step (see change_rows)."""
    sql, values = query.sql()
    statement = _in_one_step(sql, len(query._returning))
    return _rows(models.database.obj.execute_sql(statement, values))


def fetch_named_at_once(sql: str, values: dict[str, Any], columns: int) -> list[list[Any]]:
    """The same for a statement with :name places that selects so many columns."""
    return _rows(execute_named(_in_one_step(sql, columns), values))


def _in_one_step(sql: str, columns: int) -> str:
    listed = ", ".join(f"c{i}" for i in range(columns))
    return f"WITH q ({listed}) AS ({sql}) SELECT json_group_array(json_array({listed})) FROM q"


def _rows(cursor: Any) -> list[list[Any]]:
    rows: list[list[Any]] = json.loads(cursor.fetchone()[0])
    return rows


def parts(rows: Sequence[Any], size: int = 5000) -> Iterator[Sequence[Any]]:
    """The rows in runs of at most `size`, few enough to stand in one statement."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def numbers(public_ids: Iterable[str], prefix: str) -> dict[int, str]:
    """The row ids inside ids of the form <prefix><number>; others are left out."""
    found = {}
    for public_id in public_ids:
        digits = public_id.removeprefix(prefix)
        if digits != public_id and _ROW_ID.fullmatch(digits):
            found[int(digits)] = public_id
    return found


def is_trouble(error: BaseException) -> bool:
    """Whether an error is the database's (locked, disk full) and not the caller's."""
    wrong = (DataError, IntegrityError, ProgrammingError)
    return isinstance(error, PeeweeException) and not isinstance(error, wrong)


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _runner(database: Database) -> Runner:
    return Runner(database, str(MIGRATIONS))


def _parts(rows: Sequence[Sequence[Any]], width: int) -> Iterator[Sequence[Sequence[Any]]]:
    return parts(rows, min(500, MOST_VALUES // width))


def _quiet_close(database: Database) -> None:
    # The connection that changed the schema has its statements cached against the old one.
    if not database.is_closed():
        database.close()
