"""Fixtures that many tests ask for: a database and an app in process, an installation as processes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from broadcaster import config
from broadcaster.sandbox import testbed
from broadcaster.store import database
from tests.support.channels import add_channel
from tests.support.client import Client
from tests.support.databases import (
    copy_database,
    hold_writes_to_their_turn,
    leave_database,
    make_database,
)
from tests.support.installation import Field, Prepared, prepare
from tests.support.samples import CHANNEL
from tests.support.shell import Shell

# A deadline for a single example measures how busy the machine is.
hypothesis.settings.register_profile("without deadlines", deadline=None)
hypothesis.settings.load_profile("without deadlines")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stdlib-sqlite",
        action="store_true",
        help="run on the standard library's sqlite3 instead of cysqlite",
    )
    parser.addoption("--postgres", action="store_true", help="run on a PostgreSQL server of its own")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    other = "sqlite" if config.getoption("--postgres") else "postgres"
    skipped = pytest.mark.skip(reason=f"about {other} alone")
    for item in items:
        if item.get_closest_marker(other):
            item.add_marker(skipped)


@pytest.fixture(scope="session", autouse=True)
def writes_in_turn() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        hold_writes_to_their_turn(patch)
        yield


@pytest.fixture(scope="session")
def stdlib_sqlite(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--stdlib-sqlite"))


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The server that all tests of this process share, where they run on PostgreSQL."""
    if not request.config.getoption("--postgres"):
        yield None
        return
    # The driver is an extra: without it nothing else may ask for it.
    from tests.support.clusters import cluster

    with cluster() as running:
        yield running


@pytest.fixture
def postgres_url(postgres: Any) -> Iterator[str | None]:
    """A migrated database of the test's own, where tests run on PostgreSQL."""
    if postgres is None:
        yield None
        return
    name = postgres.make()
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture
def settings(tmp_path: Path, stdlib_sqlite: bool, postgres_url: str | None) -> config.Settings:
    environ = {"BROADCASTER_DATA_DIR": str(tmp_path / "data")}
    if postgres_url:
        environ["BROADCASTER_DATABASE_URL"] = postgres_url
    if stdlib_sqlite:
        environ["BROADCASTER_DATABASE_URL"] = f"sqlite+stdlib:///{tmp_path}/data/broadcaster.db"
    return config.load(environ, tmp_path / "no.env")


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_database(tmp_path_factory.mktemp("migrated") / "broadcaster.db")


@pytest.fixture
def db(settings: config.Settings, migrated: Path) -> Iterator[Any]:
    """A migrated database, bound to the models."""
    if settings.database.startswith("sqlite"):
        copy_database(migrated, settings.database)
    else:
        settings.data_dir.mkdir(mode=0o700)
    yield database.open(settings.database)
    leave_database()


@pytest.fixture
def channel_row(db: Any) -> Any:
    """A verified channel of unlimited tier with the sandbox's templates."""
    return add_channel(CHANNEL)


@pytest.fixture
def client(settings: config.Settings, channel_row: Any, db: Any) -> Client:
    return Client(settings, db)


@pytest.fixture(scope="session")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, graph_url: str, stdlib_sqlite: bool, postgres: Any
) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"), graph_url, stdlib_sqlite, postgres)


@pytest.fixture
def field(tmp_path: Path, prepared: Prepared, stdlib_sqlite: bool, postgres: Any) -> Iterator[Field]:
    made = Field(tmp_path, prepared, stdlib_sqlite, postgres)
    yield made
    made.close()


@pytest.fixture(scope="session")
def graph_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with testbed.sandbox(tmp_path_factory.mktemp("graph"), "--latency", "5") as url:
        yield url


@pytest.fixture
def shell(tmp_path: Path, graph_url: str, prepared: Prepared, postgres: Any) -> Iterator[Shell]:
    """The command line beside a sandbox, with one channel; no server runs."""
    if not (tmp_path / "data").exists():
        shutil.copytree(prepared.data, tmp_path / "data")
    environ = {"BROADCASTER_GRAPH_URL": graph_url}
    name = postgres.make(prepared.database) if postgres else None
    if postgres:
        environ["BROADCASTER_DATABASE_URL"] = postgres.url(name)
    yield Shell(tmp_path, **environ)
    leave_database()
    if postgres:
        postgres.drop(name)
