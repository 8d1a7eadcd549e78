"""The doctor: it sees what is wrong, and says what to do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broadcaster import config
from broadcaster.sandbox import testbed
from broadcaster.services import doctor
from broadcaster.services.doctor import FAIL, OK, WARN, Finding
from broadcaster.store import database, leases
from broadcaster.store.models import Channel
from broadcaster.vault import open_vault
from broadcaster.worker.schedule import Schedule
from tests.support.broadcasts import settle
from tests.support.client import Client
from tests.support.samples import CHANNEL, NOW, request_of

pytestmark = pytest.mark.sqlite


@pytest.fixture(scope="module")
def subscribed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a sandbox that has somebody to send receipts to."""
    with testbed.sandbox(tmp_path_factory.mktemp("graph")) as url:
        testbed.send_receipts(url, "http://127.0.0.1:9/none", "s")
        yield url


@pytest.fixture
def healthy(client: Client, subscribed: str) -> Client:
    """An installation whose channel a sandbox knows, with its webhook subscribed and a worker alive."""
    client.settings = client.settings.model_copy(
        update={"graph_url": subscribed, "app_secret": "s", "verify_token": "v"}
    )
    with database.transaction():
        Channel.update(access_token=client.vault.lock("good")).execute()
        leases.beat("w", "host", 1, NOW)
    return client


def examined(client: Client) -> dict[str, Finding]:
    found = list(doctor.examine(client.settings, client.vault, client.schedule, NOW))
    assert len({finding.name for finding in found}) == len(found)
    return {finding.name: finding for finding in found}


def test_all_is_well(healthy: Client) -> None:
    found = examined(healthy)
    assert {name for name, finding in found.items() if finding.result != OK} == set()
    assert not any(finding.remedy for finding in found.values())
    assert doctor.exit_code(list(found.values())) == 0
    assert found[f"channel {CHANNEL} webhook"].seen == "Sandbox app"
    assert {"SQLite", "file system", "disk", "clock", "last receipt", "worker", "huey queue"} <= found.keys()


def test_secrets_are_not_shown(healthy: Client) -> None:
    secret = "very-secret-indeed"
    healthy.settings = healthy.settings.model_copy(update={"app_secret": secret, "verify_token": secret})
    found = examined(healthy)
    assert found["BROADCASTER_APP_SECRET"].seen == "set"
    assert not any(secret in f"{finding.seen} {finding.remedy}" for finding in found.values())


def test_what_is_wrong_is_told_with_its_remedy(healthy: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    public_id = healthy.post("/v1/broadcasts", request_of(2)).json["id"]
    settle(public_id, ("sent", None), ("unknown", None))
    healthy.post(f"/v1/broadcasts/{public_id}/pause")
    (healthy.settings.data_dir / "secret.key").chmod(0o644)
    with database.transaction():
        leases.leave("w")
        Channel.update(status="PENDING", paused_at=NOW, pause_reason="token", pause_detail="190").execute()
    monkeypatch.setattr(doctor, "_kind_of", lambda _path: "nfs4")
    monkeypatch.setattr(doctor, "_LEAST_FREE", 2**60)
    found = examined_all(healthy)
    for name, result in (
        ("permissions", WARN), ("worker", WARN), ("last receipt", WARN), ("unknown messages", WARN),
        ("paused broadcasts", WARN), ("file system", FAIL), ("disk", WARN), (f"channel {CHANNEL}", FAIL),
    ):  # fmt: skip
        [first, *_] = [finding for finding in found if finding.name == name and finding.result != OK]
        assert first.result == result, name
        assert first.remedy, name
    assert doctor.exit_code(found) == 1


def examined_all(client: Client) -> list[Finding]:
    return list(doctor.examine(client.settings, client.vault, client.schedule, NOW))


@pytest.mark.parametrize(
    ("token", "graph", "told"),
    [("expired-token", None, "sync"), ("good", "http://127.0.0.1:9", "reaches Graph")],
)
def test_a_bad_token_and_an_unreachable_graph_are_told_apart(
    healthy: Client, token: str, graph: str | None, told: str
) -> None:
    with database.transaction():
        Channel.update(access_token=healthy.vault.lock(token)).execute()
    if graph:
        healthy.settings = healthy.settings.model_copy(update={"graph_url": graph})
    finding = examined(healthy)[f"channel {CHANNEL}"]
    assert finding.result == FAIL
    assert told in (finding.remedy or "")


def test_without_secrets_or_channels_it_says_so(settings: config.Settings, db: Any) -> None:
    found = {f.name: f for f in doctor.examine(settings, open_vault(settings.data_dir), Schedule(db), NOW)}
    assert found["BROADCASTER_APP_SECRET"].result == WARN
    assert "channel add" in (found["channels"].remedy or "")


def test_the_file_system_is_the_innermost_mount() -> None:
    assert doctor._kind_of(Path("/proc/self")) == "proc"


def test_without_a_verify_token_only_the_registration_fails(healthy: Client) -> None:
    healthy.settings = healthy.settings.model_copy(update={"app_secret": None, "verify_token": None})
    found = examined(healthy)
    secret, token = found["BROADCASTER_APP_SECRET"], found["BROADCASTER_VERIFY_TOKEN"]
    assert (secret.result, token.result) == (WARN, WARN)
    assert "callbacks are refused" in str(secret.remedy)
    assert "receipts arrive all the same" in str(token.remedy)
