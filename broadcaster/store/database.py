"""The database: opening it, bringing its schema up to date, and statements over many rows.

What differs between engines is asked of the engine's own file (`sqlite`, `postgres`), which answers the
questions of `Engine`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from peewee import (
    Database,
    DataError,
    IntegrityError,
    Model,
    PeeweeException,
    ProgrammingError,
)
from playhouse.migrations import Runner

from broadcaster.errors import Misconfigured
from broadcaster.store import models, postgres, sqlite

POSTGRES = "postgresql://"
"""What the address of a PostgreSQL database begins with."""
MIGRATIONS = Path(__file__).with_name("migrations")
_NAMED = re.compile(r":([a-z_][a-z_0-9]*)")
_ROW_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


class Engine(Protocol):
    """The questions that each engine's file answers for itself.

    A lock lasts until the end of the transaction and is a statement of its own: what is read after it is what
    its former holder committed. Where one write lock keeps all transactions apart, the others do nothing.
    """

    WRITERS: int
    """How many threads of a process write beside each other."""
    MOST_AT_ONCE: int
    """How many jobs of a writer share a transaction."""
    LOCKING: str
    """What a SELECT ends with that locks the broadcasts it finds."""
    PASSING: str
    """What a SELECT ends with that locks the rows it finds, passing by those that others hold."""

    def open(self, url: str) -> Database:
        """A database, made if it is not there; raises Misconfigured."""

    def migrating(self, database: Database) -> AbstractContextManager[Any]:
        """One process at a time."""

    def change_rows(
        self, database: Database, sql: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> int:
        """See below."""

    def insert_rows(
        self,
        database: Database,
        model: type[Model],
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        clause: str,
    ) -> None:
        """See below."""

    def insert_for_ids(
        self, database: Database, model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> list[int]:
        """See below."""

    def fetch(self, database: Database, sql: str, values: Sequence[Any], columns: int) -> list[list[Any]]:
        """The rows of a statement over texts and numbers that selects so many columns."""

    def lock_broadcasts(self, database: Database, ids: Sequence[int]) -> None:
        """Nobody else moves messages of these broadcasts."""

    def lock_broadcasts_of(self, database: Database, message_ids: Sequence[int]) -> None:
        """Nobody else moves messages of the broadcasts that these messages are of."""

    def lock_name(self, database: Database, name: str) -> None:
        """Nobody else holds this name."""

    def try_name(self, database: Database, name: str) -> bool:
        """The same without waiting: whether it is ours."""

    def is_conflict(self, error: BaseException) -> bool:
        """Whether a transaction was given up for another's sake, and may simply be run again."""

    def is_unstorable(self, error: BaseException) -> bool:
        """Whether a text has a character that cannot be stored."""

    def ahead(self, database: Database) -> int:
        """By how many milliseconds the database's clock is ahead of this machine's."""

    def findings(self, database: Database) -> list[tuple[str, bool, str, str | None]]:
        """What doctor looks at: its name, whether it is well, what was seen and what to do."""

    def release(self, database: Database) -> None:
        """This thread needs its connection no more for a while."""

    def has_room(self, database: Database) -> bool:
        """Whether the disk has room for what a second of sending writes."""

    def version(self, database: Database) -> str:
        """The engine's version, of the driver or server in use."""

    def skip_ids(self, database: Database, count: int) -> None:
        """Leave a gap in the ids of messages, so that those given out since a backup are not given again."""


def _engine_of(url: str) -> Engine:
    return postgres if url.startswith(POSTGRES) else sqlite


_engine: Engine = sqlite


def open(url: str) -> Database:
    """Bind the models to the database at `url`, made if it is not there; the schema is migrate()'s.

    Raises Misconfigured.
    """
    global _engine
    _engine = _engine_of(url)
    database = _engine.open(url)
    models.database.initialize(database)
    return database


def migrate(database: Database) -> list[str]:
    """Apply what is missing, one process at a time; returns the names applied.

    Raises Misconfigured if a newer release has been at this database.
    """
    with _engine.migrating(database):
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
    """Run a statement that reads `rows` as a table v with these columns; returns how many rows it changed."""
    return _engine.change_rows(models.database.obj, sql, columns, rows) if rows else 0


def insert_rows(
    model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]], clause: str = ""
) -> None:
    """Insert thousands of rows of one table in order, many with a statement; `clause` may say ON CONFLICT."""
    if rows:
        _engine.insert_rows(models.database.obj, model, columns, rows, clause)


def insert_for_ids(model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[int]:
    """Insert rows of one table; returns their ids, in order."""
    return _engine.insert_for_ids(models.database.obj, model, columns, rows) if rows else []


def lock_broadcasts(ids: Iterable[int]) -> None:
    """Nobody else moves messages of these broadcasts until this transaction ends."""
    wanted = sorted(set(ids))
    if wanted:
        _engine.lock_broadcasts(models.database.obj, wanted)


def lock_broadcasts_of(message_ids: Iterable[int]) -> None:
    """The same of the broadcasts that these messages are of."""
    wanted = sorted(set(message_ids))
    if wanted:
        _engine.lock_broadcasts_of(models.database.obj, wanted)


def passing(query: Any) -> Any:
    """A query that locks the rows it finds and passes by those that another transaction holds."""
    return query.for_update(_engine.PASSING) if _engine.PASSING else query


def locking() -> str:
    """What a statement ends with that locks the broadcasts it finds."""
    return _engine.LOCKING


def lock_name(*name: str) -> None:
    """Nobody else holds this name until this transaction ends."""
    _engine.lock_name(models.database.obj, "/".join(name))


def try_name(*name: str) -> bool:
    """The same without waiting: whether it is ours."""
    return _engine.try_name(models.database.obj, "/".join(name))


def has_room() -> bool:
    """Whether the disk of the database has room for what a second of sending writes."""
    return _engine.has_room(models.database.obj)


def version() -> str:
    """The engine's version."""
    return _engine.version(models.database.obj)


def skip_ids(count: int) -> None:
    """Leave a gap in the ids of messages, so that those given out since a backup are not given again."""
    _engine.skip_ids(models.database.obj, count)


def fetch_at_once(query: Any) -> list[list[Any]]:
    """The rows of a query over texts and numbers, fetched in a single step (see the engine)."""
    sql, values = query.sql()
    return _engine.fetch(models.database.obj, sql, values, len(query._returning))


def fetch_named_at_once(sql: str, values: Mapping[str, Any], columns: int) -> list[list[Any]]:
    """The same for a statement with :name places that selects so many columns."""
    statement, names = _placed(sql, models.database.obj.param)
    return _engine.fetch(models.database.obj, statement, [values[name] for name in names], columns)


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


def change(query: Any) -> int:
    """Run an UPDATE or a DELETE; returns how many rows it changed."""
    return int(query.execute())


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


def ahead() -> int:
    """By how many milliseconds the database's clock is ahead of this machine's."""
    return _engine.ahead(models.database.obj)


def findings() -> list[tuple[str, bool, str, str | None]]:
    """What doctor looks at of a server: its name, whether it is well, what was seen and what to do."""
    return _engine.findings(models.database.obj)


def release() -> None:
    """This thread needs its connection no more for a while."""
    _engine.release(models.database.obj)


def is_file(url: str | None = None) -> bool:
    """Whether the database at an address, or the open one, is a file of ours and no server's."""
    return (_engine if url is None else _engine_of(url)) is sqlite


def path() -> Path:
    """The open database's file."""
    return Path(models.database.obj.database)


def copy_to(target: Path) -> None:
    """Write a consistent copy of the open database, while others write; raises Misconfigured."""
    sqlite.copy_to(models.database.obj, target)


def check() -> str:
    """What SQLite's own check of the open database says: `ok`, or the first fault."""
    return sqlite.check(models.database.obj)


def verify(file: Path) -> None:
    """Raises Misconfigured unless a file is a sound database of ours, of this release or an older one."""
    sqlite.verify(file, {one.stem for one in MIGRATIONS.glob("[0-9]*.py")})


def fold_in() -> None:
    """Bring what stands in the write-ahead log into the database's file."""
    sqlite.fold_in(models.database.obj)


def tuples(query: Any) -> list[tuple[Any, ...]]:
    """The rows of a query, its cursor closed."""
    return list(query.tuples().execute())


def number(query: Any) -> int | None:
    """The one number a query asks for."""
    found: int | None = query.scalar()
    return found


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


def writers() -> int:
    """How many threads of a process write beside each other."""
    return _engine.WRITERS


def most_at_once() -> int:
    """How many jobs of a writer share a transaction."""
    return _engine.MOST_AT_ONCE


def is_conflict(error: BaseException) -> bool:
    """Whether a transaction was given up for another's sake, and may simply be run again."""
    return _engine.is_conflict(error)


def is_unstorable(error: BaseException) -> bool:
    """Whether a text has a character that cannot be stored."""
    return _engine.is_unstorable(error)


def is_trouble(error: BaseException) -> bool:
    """Whether an error is the database's (locked, disk full) and not the caller's."""
    wrong = (DataError, IntegrityError, ProgrammingError)
    return isinstance(error, PeeweeException) and not isinstance(error, wrong)


def _runner(database: Database) -> Runner:
    return Runner(database, str(MIGRATIONS))


def _quiet_close(database: Database) -> None:
    # The connection that changed the schema has its statements cached against the old one.
    if not database.is_closed():
        database.close()
