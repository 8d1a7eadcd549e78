"""SQLite: its drivers, and the queue before its write lock.

cysqlite is the driver because it brings its own SQLite: the one of Debian 12 has the WAL-reset
corruption fault (3.7.0 to 3.51.2). `sqlite+stdlib:///` takes the standard library's instead.

Whoever finds SQLite's write lock taken sleeps, longer each time, and looks again: who writes often keeps out
who waits. So transactions queue before it, whichever process and thread they come from, at the locks of two
files: whoever holds `next` is the next to write, whoever holds `turn` writes. Who has just written queues at
`next` behind whoever waits there. The kernel frees both locks when a process ends.
"""

import fcntl
import os
import threading
import time
from typing import IO, Any

from peewee import OperationalError, SqliteDatabase
from playhouse.cysqlite_ext import CySqliteDatabase

BUSY_SECONDS = 10
"""So long the write lock is waited for."""
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
    return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb")


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
