"""Whatever is sent to any operation, only what its description says comes back."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from broadcaster.clock import epoch_ms
from broadcaster.config import Settings, load
from broadcaster.services import access
from broadcaster.store import database, leases
from broadcaster.store.models import Broadcast
from broadcaster.vault import open_vault
from broadcaster.web.service import document
from tests.support.channels import add_channel
from tests.support.client import Client
from tests.support.databases import leave_database
from tests.support.samples import NOW

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
OPERATIONS = [
    (path, method, operation)
    for path, methods in document(None)["paths"].items()
    for method, operation in methods.items()
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("openapi")
    chosen: Settings = load({"BROADCASTER_DATA_DIR": str(folder / "data")}, folder / "none")
    opened = database.open(chosen.database)
    database.migrate(opened)
    open_vault(chosen.data_dir)
    add_channel("100000000000001")
    with database.transaction():
        # Else /readyz says 503, as described.
        leases.beat("worker", "host", 1, epoch_ms() + 3_600_000)
    yield Client(chosen, opened)
    leave_database()


@pytest.fixture(scope="module")
def described(served: Client) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", served.app)


FEW = settings(
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
# A single send waits for a worker, which there is none of here.
TRIED = [(path, method) for path, method, _ in OPERATIONS if not path.endswith("/send/")]


@pytest.mark.parametrize(("path", "method"), TRIED)
@pytest.mark.parametrize("examples", [12, 3], ids=["with a token", "without"])
def test_whatever_is_sent_only_what_is_described_comes_back(
    described: Any, served: Client, path: str, method: str, examples: int
) -> None:
    headers = {"Authorization": f"Bearer {served.token}" if examples == 12 else ""}

    @settings(FEW, max_examples=examples)
    @given(case=described[path][method.upper()].as_strategy())
    def check(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)

    check()


def test_a_token_without_scopes_is_refused_as_described(served: Client) -> None:
    token = access.create_token("weak", ["messages:send"], None, NOW)
    for path, method, operation in OPERATIONS:
        if operation.get("security") and "Scope" in operation.get("description", ""):
            url = re.sub(r"{\w+}", "x", path)
            answer = served.call(method.upper(), url, token=token)
            if "messages:send" not in operation["description"]:
                assert answer.status_code == 403, path
                assert answer.headers["content-type"] in operation["responses"]["403"]["content"]
    assert Broadcast.select().where(Broadcast.token_id == token).count() == 0
