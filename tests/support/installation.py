"""A sandbox and an installation beside it, as processes."""

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broadcaster.errors import BroadcasterError
from broadcaster.sandbox import testbed
from tests.support.databases import leave_database
from tests.support.samples import CHANNEL
from tests.support.shell import Shell


@dataclass(frozen=True)
class Prepared:
    """A data directory with the sandbox's first number and a token, copied instead of made anew."""

    data: Path
    token: str
    database: str | None = None
    """The name of its database on a PostgreSQL server."""


def prepare(folder: Path, graph_url: str, stdlib_sqlite: bool, postgres: Any = None) -> Prepared:
    """Make an installation in a folder, as its operator would."""
    environ = {"BROADCASTER_GRAPH_URL": graph_url}
    name = postgres.make() if postgres else None
    if postgres:
        environ["BROADCASTER_DATABASE_URL"] = postgres.url(name)
    if stdlib_sqlite:
        environ["BROADCASTER_DATABASE_URL"] = stdlib_url(folder)
    shell = Shell(folder, **environ)
    shell.ok("channel", "add", CHANNEL, "--waba-id", "77", "--access-token", "sandbox-token")
    token = shell.ok("token", "create", "tests", "--scope", "admin").strip()
    leave_database()
    return Prepared(folder / "data", token, name)


def stdlib_url(folder: Path) -> str:
    """The database of the installation in a folder, opened with the standard library's driver."""
    return f"sqlite+stdlib:///{folder}/data/broadcaster.db"


class Installation(testbed.Installation):
    """An installation whose servers are processes, and whose commands run within the test's."""

    def command(self, *arguments: str) -> str:
        done = Shell(self.folder, **self.environ).run(*arguments)
        if done.returncode:
            raise BroadcasterError(done.stderr.strip() or f"exit code {done.returncode}")
        return done.stdout.strip()


class Field:
    """A sandbox and an installation beside it, as processes."""

    def __init__(self, folder: Path, prepared: Prepared, stdlib_sqlite: bool, postgres: Any = None):
        self._postgres = postgres
        self._database = postgres.make(prepared.database) if postgres else None
        self.folder = folder
        self._prepared = prepared
        self._stdlib = stdlib_sqlite
        self._sandboxes: list[Any] = []
        self._processes: list[testbed.Process] = []
        self.graph_url = ""

    def sandbox(self, *options: str) -> str:
        running = testbed.sandbox(self.folder, *options)
        self.graph_url = running.__enter__()
        self._sandboxes.append(running)
        return self.graph_url

    def bare_installation(self, **settings: str) -> Installation:
        if self._stdlib:
            settings["database_url"] = stdlib_url(self.folder)
        if self._postgres:
            settings.setdefault("database_url", self._postgres.url(self._database))
        return Installation(self.folder, self.graph_url, **settings)

    def installation(self, pace: float | None = None, **settings: str) -> Installation:
        """An installation that knows the first number; without a pace Meta's 80 a second hold."""
        here = self.bare_installation(**settings)
        here.use_token(self._prepared.token)
        if not (self.folder / "data").exists():
            shutil.copytree(self._prepared.data, self.folder / "data")
        if pace is not None:
            self.execute("UPDATE channel SET pace_override = ?", pace)
        return here

    def execute(self, sql: str, *values: Any) -> list[Any]:
        """What a statement finds in the installation's database."""
        if self._postgres:
            rows: list[Any] = self._postgres.execute(self._database, sql.replace("?", "%s"), values)
            return rows
        with sqlite3.connect(self.folder / "data" / "broadcaster.db") as opened:
            rows = opened.execute(sql, values).fetchall()
        opened.close()
        return rows

    def start(self, here: Installation, *halves: str) -> testbed.Process:
        process = here.start(*halves)
        self._processes.append(process)
        return process

    def report(self) -> dict[str, Any]:
        return testbed.sandbox_report(self.graph_url)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        for running in self._sandboxes:
            running.__exit__(None, None, None)
        if self._postgres:
            self._postgres.drop(self._database)
