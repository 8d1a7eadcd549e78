"""A client that somebody generates from /openapi.json: all of it comes out, and it works."""

import importlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broadcaster.web import service
from tests.support.installation import Field
from tests.support.samples import CHANNEL
from tests.support.waiting import wait_until

PACKAGE = "generated_client"
DOCUMENT = service.document(None)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(json.dumps(DOCUMENT))
    # Its hooks would format the code, which takes programs that need not be there.
    (folder / "config.yml").write_text("post_hooks: []\n")
    command = ("generate", "--path", "openapi.json", "--output-path", PACKAGE, "--meta", "none")
    made = subprocess.run(
        [Path(sys.executable).with_name("openapi-python-client"), *command, "--config", "config.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = made.stdout + made.stderr
    assert made.returncode == 0, told
    assert "warning" not in told.lower(), told
    sys.path.insert(0, str(folder))
    yield folder / PACKAGE
    sys.path.remove(str(folder))


def test_no_operation_and_no_type_is_dropped(generated: Path) -> None:
    ids = {operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()}
    modules = {path.stem for path in (generated / "api").glob("*/*.py")} - {"__init__"}
    assert modules == {re.sub("([A-Z])", r"_\1", one).lower() for one in ids}
    models: Any = importlib.import_module(f"{PACKAGE}.models")
    assert {name for name in DOCUMENT["components"]["schemas"] if not hasattr(models, name)} == set()


def test_it_creates_and_follows_a_broadcast(generated: Path, field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation()
    field.start(here)
    models: Any = importlib.import_module(f"{PACKAGE}.models")
    api = f"{PACKAGE}.api.broadcaster"
    create: Any = importlib.import_module(f"{api}.create_broadcast")
    get: Any = importlib.import_module(f"{api}.get_broadcast")
    listing: Any = importlib.import_module(f"{api}.list_messages")
    client = importlib.import_module(PACKAGE).AuthenticatedClient(here.url, here.token)

    people = [models.NewRecipient(to=f"+90555444000{i}", variables=list("abcd")) for i in range(3)]
    template = models.NewTemplate(name="appointment", language="en")
    asked = models.NewBroadcast(CHANNEL, template, people, title="generated")
    begun = time.time()
    made = create.sync(client=client, body=asked, idempotency_key="generated 1")
    assert isinstance(made, models.Broadcast)
    assert abs(made.created_at.timestamp() - begun) < 60
    assert create.sync(client=client, body=asked, idempotency_key="generated 1").id == made.id

    def followed() -> Any:
        found = get.sync(made.id, client=client)
        return found if found.status is models.BroadcastStatus.COMPLETED else None

    done = wait_until(followed)
    assert (done.stats.success, done.stats.total, done.title) == (3, 3, "generated")
    page = listing.sync(made.id, client=client, state=models.MessageState.SENT)
    assert [message.to for message in page.data] == [one.to for one in people]
    refused = create.sync(client=client, body=models.NewBroadcast("1", template, people))
    assert isinstance(refused, models.Problem)
    assert [fault.field for fault in refused.errors] == ["channel"]
