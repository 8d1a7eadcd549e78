"""Throw-away PostgreSQL servers: nothing of theirs outlives the tests, not even on the disk."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from broadcaster.store import database
from tests.support.databases import leave_database
from tests.support.waiting import wait_until

_OPTIONS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "32MB",
    "max_connections": "300",
    "listen_addresses": "127.0.0.1",
}
_ADMIN = "postgres"
_MIGRATED = "migrated"


class Cluster:
    """A running server. Databases are made from a migrated one, and dropped whoever is connected."""

    def __init__(self, port: int):
        self._port = port
        self._count = 0
        self._admin = psycopg.connect(self.url(_ADMIN), autocommit=True)
        self._admin.execute(f"CREATE DATABASE {_MIGRATED}")
        database.migrate(database.open(self.url(_MIGRATED)))
        leave_database()

    def url(self, name: str) -> str:
        return f"postgresql://{_ADMIN}@127.0.0.1:{self._port}/{name}"

    def make(self, template: str = _MIGRATED) -> str:
        """A new database like another, which nobody is connected to; returns its name."""
        self._count += 1
        name = f"t{self._count}"
        connected = "FROM pg_stat_activity WHERE datname = %s"
        self._admin.execute(f"SELECT pg_terminate_backend(pid) {connected}", [template])
        wait_until(lambda: self._admin.execute(f"SELECT count(*) {connected}", [template]).fetchone() == (0,))
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def execute(self, name: str, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """What a statement finds in a database."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            cursor = connection.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def drop(self, name: str) -> None:
        self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        self._admin.close()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A server of its own, until the end."""
    tools = _tools()
    owner = _ADMIN if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="broadcaster-postgres-", dir=_memory()) as name:
        folder = Path(name)
        if owner:
            # PostgreSQL does not run as root.
            shutil.chown(folder, owner)
        data = folder / "data"
        made = [tools / "initdb", "-D", data, "-U", _ADMIN, "-A", "trust", "-N"]
        made += ["-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, user=owner, cwd=folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = {**_OPTIONS, "port": str(port), "unix_socket_directories": str(folder)}
        with (data / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        command = [tools / "pg_ctl", "-D", data, "-l", folder / "log", "-w", "-t", "60"]
        subprocess.run([*command, "start"], check=True, stdout=subprocess.DEVNULL, user=owner, cwd=folder)
        try:
            running = Cluster(port)
            yield running
            running.close()
        finally:
            stop = [*command, "-m", "immediate", "stop"]
            subprocess.run(stop, check=True, stdout=subprocess.DEVNULL, user=owner, cwd=folder)


def _tools() -> Path:
    """The folder of the newest server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    assert there, "no PostgreSQL server is installed"
    return Path(there).parent


def _memory() -> str | None:
    """A file system in memory, if there is one with room."""
    shared = Path("/dev/shm")  # noqa: S108
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > 1024**3 else None
