"""What the tests share: a database and an app in process, a sandbox and an installation as processes."""

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import falcon.testing
import pytest

from broadcaster import config
from broadcaster.domain import strict_json
from broadcaster.sandbox import testbed
from broadcaster.services import access
from broadcaster.store import channels, database, definitions
from broadcaster.store.models import Broadcast, Message
from broadcaster.store.models import database as models_database
from broadcaster.vault import open_vault
from broadcaster.web.app import make_app
from broadcaster.worker.schedule import Schedule

DEFINITIONS = json.loads(
    (Path(__file__).parent.parent / "broadcaster" / "sandbox" / "templates.json").read_text()
)
MORE_TEMPLATES = Path(__file__).parent / "templates.json"
KNOWN = DEFINITIONS + json.loads(MORE_TEMPLATES.read_text())
"""What a channel of the tests has: the sandbox's templates and some of our own."""
CHANNEL = "100000000000001"
NOW = 1_795_000_000_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stdlib-sqlite",
        action="store_true",
        help="run on the standard library's sqlite3 instead of cysqlite",
    )


@pytest.fixture
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> config.Settings:
    environ = {"BROADCASTER_DATA_DIR": str(tmp_path / "data")}
    if request.config.getoption("--stdlib-sqlite"):
        environ["BROADCASTER_DATABASE_URL"] = f"sqlite+stdlib:///{tmp_path}/data/broadcaster.db"
    return config.load(environ, tmp_path / "no.env")


@pytest.fixture
def db(settings: config.Settings) -> Iterator[Any]:
    """A migrated database, bound to the models."""
    opened = database.open(settings.database)
    database.migrate(opened)
    yield opened
    database.close()


@pytest.fixture
def channel_row(db: Any) -> Any:
    """A verified channel of unlimited tier with the sandbox's templates."""
    return add_channel(CHANNEL)


def add_channel(phone_number_id: str, **facts: Any) -> Any:
    columns = ("name", "language", "status", "category", "parameter_format")
    rows = [
        {name: row[name] for name in columns}
        | {"quality": None, "components": strict_json.dumps(row["components"])}
        for row in KNOWN
    ]
    definitions.replace_all("77", rows, NOW)
    known = {
        "phone_number_id": phone_number_id,
        "waba_id": "77",
        "portfolio": "77",
        "display_phone_number": "+1 555-0101",
        "verified_name": "Sandbox 1",
        "quality_rating": "GREEN",
        "tier": "TIER_UNLIMITED",
        "status": "CONNECTED",
        "access_token": "locked",
    }
    return channels.save(known | facts, NOW)


class Client:
    """The application, called as an API client with a token of all scopes."""

    def __init__(self, settings: config.Settings, db: Any):
        self.schedule = Schedule(db)
        self.settings = settings
        self.vault = open_vault(settings.data_dir)
        self._app = falcon.testing.TestClient(make_app(settings, self.schedule, self.vault))
        self.token = access.create_token("tests", ["admin"], None, NOW)

    def call(self, method: str, path: str, token: str | None = None, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {token or self.token}"} | options.pop("headers", {})
        return self._app.simulate_request(method, path, headers=headers, **options)

    def post(self, path: str, document: Any = None, **options: Any) -> Any:
        return self.call("POST", path, json=document, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)


@pytest.fixture
def client(settings: config.Settings, channel_row: Any, db: Any) -> Client:
    open_vault(settings.data_dir)
    return Client(settings, db)


def request_of(count: int = 3, **changes: Any) -> dict[str, Any]:
    """A broadcast request that is fine unless `changes` spoil it."""
    document = {
        "channel": CHANNEL,
        "template": {"name": "appointment", "language": "en"},
        "recipients": [
            {"to": f"+90555444{i:04d}", "variables": ["Ana", "Monday", "10:00", f"file {i}"]}
            for i in range(count)
        ],
    }
    return document | changes


def masked(document: Any, **masks: str) -> Any:
    """The document with the values of these keys replaced, where they have the form a mask demands.

    A mask is a regular expression; what does not fit it stays, and spoils the comparison.
    """
    if isinstance(document, list):
        return [masked(inner, **masks) for inner in document]
    if not isinstance(document, dict):
        return document
    shown = {}
    for key, value in document.items():
        fits = key in masks and re.fullmatch(masks[key], str(value))
        shown[key] = "*" if fits else masked(value, **masks)
    return shown


def settle(public_id: str, *states: tuple[str, str | None]) -> list[int]:
    """Bring the messages of a broadcast into these states, as sender and receipts would."""
    broadcast = Broadcast.get(Broadcast.public_id == public_id)
    mine = Message.select().where(Message.broadcast_id == broadcast.id)
    ids = [row.id for row in mine.order_by(Message.id)]
    with models_database.atomic():
        for message_id, (state, delivery) in zip(ids, states, strict=True):
            facts: dict[str, Any] = {"state": state, "delivery": delivery, "attempt": 1, "claimed_at": NOW}
            if state == "sent":
                facts |= {"wamid": f"wamid.T{message_id}/+==", "sent_at": NOW, "settled_at": NOW}
            if state == "failed" or delivery == "failed":
                facts |= {"error_code": "131026", "error_text": "unreachable", "settled_at": NOW}
            if delivery in ("delivered", "read"):
                facts["delivered_at"] = NOW + 1000
            if delivery == "read":
                facts["read_at"] = NOW + 2000
            Message.update(facts).where(Message.id == message_id).execute()
        is_open = any(state in ("pending", "sending", "unknown") for state, _ in states)
        moment = max(NOW, broadcast.due_at)
        ended = Broadcast.update(started_at=moment, finished_at=None if is_open else moment)
        ended.where(Broadcast.id == broadcast.id).execute()
    return ids


def wait_until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """What the condition returns once it is true; fails the test when the deadline passes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {condition!r}")


@dataclass(frozen=True)
class Prepared:
    """A data directory with the sandbox's first number and a token, copied instead of made anew."""

    data: Path
    token: str


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Prepared:
    folder = tmp_path_factory.mktemp("prepared")
    made = Field(folder, None, request.config.getoption("--stdlib-sqlite"))
    made.sandbox()
    try:
        here = made.bare_installation()
        here.add_channel(CHANNEL)
        token = here.command("token", "create", "tests", "--scope", "admin")
    finally:
        made.close()
    return Prepared(folder / "data", token)


class Field:
    """A sandbox and an installation beside it, as processes."""

    def __init__(self, folder: Path, prepared: Prepared | None, stdlib_sqlite: bool):
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

    def bare_installation(self, **settings: str) -> testbed.Installation:
        if self._stdlib:
            settings["database_url"] = f"sqlite+stdlib:///{self.folder}/data/broadcaster.db"
        return testbed.Installation(self.folder, self.graph_url, **settings)

    def installation(self, pace: float | None = None, **settings: str) -> testbed.Installation:
        """An installation that knows the first number; without a pace Meta's 80 a second hold."""
        assert self._prepared
        here = self.bare_installation(**settings)
        here.use_token(self._prepared.token)
        if not (self.folder / "data").exists():
            shutil.copytree(self._prepared.data, self.folder / "data")
        if pace is not None:
            with sqlite3.connect(self.folder / "data" / "broadcaster.db") as database:
                database.execute("UPDATE channel SET pace_override = ?", [pace])
            database.close()
        return here

    def start(self, here: testbed.Installation, *halves: str) -> testbed.Process:
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


@pytest.fixture
def field(tmp_path: Path, prepared: Prepared, request: pytest.FixtureRequest) -> Iterator[Field]:
    made = Field(tmp_path, prepared, request.config.getoption("--stdlib-sqlite"))
    yield made
    made.close()
