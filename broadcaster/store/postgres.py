"""PostgreSQL: connections that mend themselves, statements over many rows, and locks by row and by name.

READ COMMITTED, and explicit locks: a statement that follows a lock sees what its former holder committed.
Locks are a transaction's, never a session's, so that a pooler may stand between. The order of rows and names:
lease, portfolio, broadcasts by id, messages, the reached, people, conversations, events.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from peewee import (
    BooleanField,
    Database,
    DataError,
    FloatField,
    IntegerField,
    InterfaceError,
    Model,
    OperationalError,
    PeeweeException,
)
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase

from broadcaster.errors import Misconfigured
from broadcaster.store import models

WRITERS, MOST_AT_ONCE = 4, 1
"""The server shares an fsync among connections by itself, and a transaction of several jobs would take locks
in any order."""
_CONFLICTS = ("40P01", "40001", "55P03")
"""A deadlock, a lost race, a lock that was waited for too long."""
LOCKING = " FOR NO KEY UPDATE OF broadcast"
PASSING = "FOR NO KEY UPDATE SKIP LOCKED"
_CONNECT_SECONDS = 10
_MOST_CONNECTIONS = 32
"""Of a process; a server has a hundred, unless it is told otherwise."""
_DEAD_AFTER: dict[str, Any] = {
    # A host that is gone says nothing: without these libpq waits for minutes.
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_ROWS_AT_ONCE = 5000
_LOCK_BROADCASTS = "SELECT id FROM broadcast WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
_LOCK_BROADCASTS_OF = (
    "SELECT id FROM broadcast WHERE id IN (SELECT broadcast_id FROM message WHERE id = ANY(%s))"
    " ORDER BY id FOR NO KEY UPDATE"
)


class Postgres(PooledPostgresqlDatabase):  # type: ignore[misc]
    """A connection a thread, opened anew where the server or the network has ended it.

    What is repeated has certainly not been done: BEGIN, and a SELECT outside a transaction.
    """

    def connect(self, reuse_if_open: bool = False) -> bool:
        try:
            return bool(super().connect(reuse_if_open))
        except MaxConnectionsExceeded as error:
            raise OperationalError("all connections of this process are in use") from error

    def begin(self, isolation_level: Any = None) -> None:
        try:
            super().begin(isolation_level)
        except (OperationalError, InterfaceError):
            self._connect_anew()
            super().begin(isolation_level)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        try:
            return super().execute_sql(sql, params)
        except (OperationalError, InterfaceError):
            if self.in_transaction() or not sql.lstrip("( ").startswith("SELECT") or not self._is_broken():
                raise
            self._connect_anew()
            return super().execute_sql(sql, params)

    def _is_broken(self) -> bool:
        return not self.is_connection_usable()

    def _connect_anew(self) -> None:
        # Not back to the pool.
        self.manual_close()
        self.connect(reuse_if_open=True)


def open(url: str) -> Database:
    """The database at `url`; raises Misconfigured."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise Misconfigured("PostgreSQL wants its driver: pip install 'broadcaster[postgres]'") from None
    database = Postgres(
        url,
        prefer_psycopg3=True,
        max_connections=_MOST_CONNECTIONS,
        timeout=_CONNECT_SECONDS,
        connect_timeout=_CONNECT_SECONDS,
        **_DEAD_AFTER,
    )
    try:
        database.connect()
    except PeeweeException as error:
        reason = str(error).strip().splitlines()[0]
        raise Misconfigured(f"the database cannot be used: {reason}") from None
    return database


@contextmanager
def migrating(database: Database) -> Iterator[None]:
    """One process at a time, all of it one transaction."""
    with database.atomic():
        lock_name(database, "migrate")
        yield


def change_rows(database: Database, sql: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    """Run a statement that reads `rows` as a table v with these columns; returns how many rows it changed."""
    changed = 0
    types = [_type_of(name, [row[place] for row in rows]) for place, name in enumerate(columns)]
    for part in _parts(rows):
        statement = f"WITH v ({', '.join(columns)}) AS (SELECT * FROM {_unnest(types)}) {sql}"
        changed += database.execute_sql(statement, _by_column(part, columns)).rowcount
    return changed


def insert_rows(
    database: Database, model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]], clause: str
) -> None:
    """Insert rows of one table in order, many with a statement."""
    for part in _parts(rows):
        _insert(database, model, columns, part, clause)


def insert_for_ids(
    database: Database, model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> list[int]:
    """Insert rows of one table; returns their ids, in order."""
    return [
        row_id
        for part in _parts(rows)
        for (row_id,) in _insert(database, model, columns, part, "RETURNING id").fetchall()
    ]


def _insert(
    database: Database, model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]], clause: str
) -> Any:
    types = [_type_of_field(model._meta.columns[name]) for name in columns]
    into = f"INSERT INTO {model._meta.table_name} ({', '.join(columns)})"
    statement = f"{into} SELECT * FROM {_unnest(types)} {clause}"
    return database.execute_sql(statement, _by_column(rows, columns))


def fetch(database: Database, sql: str, values: Sequence[Any], _columns: int) -> list[list[Any]]:
    """The rows of a statement."""
    return [list(row) for row in database.execute_sql(sql, values).fetchall()]


def lock_broadcasts(database: Database, ids: Sequence[int]) -> None:
    """Nobody else moves messages of these broadcasts; in the order of their ids, as everywhere."""
    database.execute_sql(_LOCK_BROADCASTS, [list(ids)])


def lock_broadcasts_of(database: Database, message_ids: Sequence[int]) -> None:
    """Nobody else moves messages of the broadcasts that these messages are of."""
    database.execute_sql(_LOCK_BROADCASTS_OF, [list(message_ids)])


def lock_name(database: Database, name: str) -> None:
    """Nobody else holds this name."""
    database.execute_sql("SELECT pg_advisory_xact_lock(%s)", [_number_of(name)])


def try_name(database: Database, name: str) -> bool:
    """The same without waiting: whether it is ours."""
    return bool(
        database.execute_sql("SELECT pg_try_advisory_xact_lock(%s)", [_number_of(name)]).fetchone()[0]
    )


def is_conflict(error: BaseException) -> bool:
    """Whether a transaction was given up for another's sake, and may simply be run again."""
    return getattr(error.__cause__, "sqlstate", None) in _CONFLICTS


def is_unstorable(error: BaseException) -> bool:
    """Whether a text has a NUL: the driver refuses it before anything is asked of the server."""
    return isinstance(error, DataError) and "NUL" in str(error)


def ahead(database: Database) -> int:
    """By how many milliseconds the server's clock is ahead of this machine's: the quickest of three looks."""
    looks = []
    for _ in range(3):
        before = time.time()
        server = database.execute_sql("SELECT EXTRACT(EPOCH FROM clock_timestamp())").fetchone()[0]
        after = time.time()
        looks.append((after - before, float(server) - (before + after) / 2))
    return round(min(looks)[1] * 1000)


def release(database: Database) -> None:
    """The connection goes back to the pool: a process has many more threads than a server has connections."""
    if not database.is_closed() and not database.in_transaction():
        database.close()


def findings(database: Database) -> list[tuple[str, bool, str, str | None]]:
    """What doctor looks at: its name, whether it is well, what was seen and what to do."""

    def shown(name: str) -> str:
        return str(database.execute_sql(f"SHOW {name}").fetchone()[0])

    number = version(database)
    found = [("PostgreSQL", float(number.split(".")[0]) >= 13, number, "versions from 13 are served")]
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        seen = shown(name)
        remedy = f"set {name} to on: what a power loss forgets may be sent twice"
        found.append((name, seen != "off", seen, remedy))
    encoding = shown("server_encoding")
    found.append(("encoding", encoding == "UTF8", encoding, "make the database with ENCODING 'UTF8'"))
    standby = bool(database.execute_sql("SELECT pg_is_in_recovery()").fetchone()[0])
    found.append(("standby", not standby, "yes" if standby else "no", "name the primary in the address"))
    begun = time.perf_counter()
    database.execute_sql("SELECT 1").fetchone()
    trip = (time.perf_counter() - begun) * 1000
    found.append(("round trip", trip < 20, f"{trip:.1f} ms", "a claim takes about eight: move closer to it"))
    apart = ahead(database) / 1000
    found.append(("clock of the server", abs(apart) < 2, f"{apart:+.2f} s", "its time is followed; set ours"))
    return [(name, well, seen, None if well else remedy) for name, well, seen, remedy in found]


def has_room(_database: Database) -> bool:
    """The server's disk is the server's to watch."""
    return True


def version(database: Database) -> str:
    """The server's version."""
    return str(database.execute_sql("SHOW server_version").fetchone()[0]).split()[0]


def skip_ids(database: Database, count: int) -> None:
    """Leave a gap in the ids of messages, so that those given out since a backup are not given again."""
    database.execute_sql(
        "SELECT setval('message_id_seq', (SELECT COALESCE(MAX(id), 0) FROM message) + %s)", [count]
    )


def _number_of(name: str) -> int:
    """A name's number among the advisory locks, with a mark of ours in it."""
    return int.from_bytes(hashlib.sha256(f"broadcaster/{name}".encode()).digest()[:8], signed=True)


def _type_of(name: str, values: Sequence[Any]) -> str:
    """What PostgreSQL calls the type of a column of values; where all are None, the models' for its name."""
    known = next((value for value in values if value is not None), None)
    if known is None:
        return _types_by_name().get(name, "text")
    if any(isinstance(value, float) for value in values):
        return "double precision"
    return {bool: "boolean", int: "bigint", bytes: "bytea"}.get(type(known), "text")


def _types_by_name() -> dict[str, str]:
    return {
        name: _type_of_field(field) for model in models.ALL for name, field in model._meta.columns.items()
    }


def _type_of_field(field: Any) -> str:
    if isinstance(field, models.PackedField):
        return "bytea"
    if isinstance(field, BooleanField):
        return "boolean"
    if isinstance(field, FloatField):
        return "double precision"
    return "bigint" if isinstance(field, IntegerField) else "text"


def _unnest(types: Sequence[str]) -> str:
    """A table of columns that are bound as one array each: one text of a statement for any number of rows."""
    return f"unnest({', '.join(f'%s::{kind}[]' for kind in types)})"


def _by_column(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> list[list[Any]]:
    return [[row[place] for row in rows] for place in range(len(columns))]


def _parts(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[start : start + _ROWS_AT_ONCE]
