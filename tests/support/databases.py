"""A migrated database, made once and copied for each test."""

import re
import shutil
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from playhouse.pool import PooledDatabase

from broadcaster.store import database, models
from broadcaster.store.sqlite import CySqlite, StdlibSqlite

_WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE|WITH\b.*?\)\s*(INSERT|UPDATE|DELETE)\b)", re.S | re.I)
_PACKAGE = Path(database.__file__).parents[1]
_ABOVE_STORE = tuple(str(_PACKAGE / floor) + "/" for floor in ("services", "worker", "web", "cli"))


def make_database(path: Path) -> Path:
    """Write an empty database with today's schema to a file, and close it."""
    database.migrate(database.open(f"sqlite:///{path}"))
    leave_database()
    return path


def migrate_at_once(opened: Any) -> list[str]:
    """What four threads that migrate a database at once apply, all together."""
    applied: list[str] = []

    def start() -> None:
        applied.extend(database.migrate(opened))
        database.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return applied


def leave_database() -> None:
    """Close the database of a test, and forget it: who opens none has none, in any order."""
    opened = models.database.obj
    if isinstance(opened, PooledDatabase):
        opened.close_all()
    database.close()
    models.database.initialize(None)


def copy_database(made: Path, url: str) -> None:
    """Put a copy of a closed database where a database URL says."""
    target = Path(url.partition(":///")[2])
    target.parent.mkdir(mode=0o700, parents=True)
    shutil.copy(made, target)


def hold_writes_to_their_turn(patch: Any) -> None:
    """Have a write outside of a transaction raise AssertionError where the product makes it: it would wait
    for SQLite's lock beside the queue, and starve. Tests may ask the store for what they like."""
    for kind in (CySqlite, StdlibSqlite):
        patch.setattr(kind, "execute_sql", _checked(kind.execute_sql))


def _checked(really: Any) -> Any:
    def execute_sql(self: Any, sql: str, *args: Any, **options: Any) -> Any:
        if self.transaction_depth() == 0 and _WRITES.match(sql):
            callers = _callers(sys._getframe(1))
            assert not callers, f"{callers} write outside of a transaction: {sql}"
        return really(self, sql, *args, **options)

    return execute_sql


def _callers(frame: FrameType | None) -> list[str]:
    """The product's functions above the store that a statement comes from."""
    found = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(_ABOVE_STORE):
            found.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        frame = frame.f_back
    return found
