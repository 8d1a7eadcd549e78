"""Backups that come up paused, and forgetting people without changing a count."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from broadcaster.config import Settings
from broadcaster.errors import Invalid, Misconfigured
from broadcaster.meta import payloads
from broadcaster.services import upkeep
from broadcaster.settlement import opt_outs
from broadcaster.store import allowance, database, events, models, people, suppressions
from broadcaster.store.messages import Matched, receive
from broadcaster.store.models import (
    Broadcast,
    Callback,
    Contact,
    Conversation,
    Event,
    Message,
    Reached,
)
from broadcaster.worker import presence
from tests.support.broadcasts import settle
from tests.support.callbacks import callback, status
from tests.support.client import Client
from tests.support.installation import Field
from tests.support.samples import CHANNEL, NOW, request_of
from tests.support.shell import Shell
from tests.support.waiting import wait_until

pytestmark = pytest.mark.sqlite

DAY = upkeep.DAY
ANA = "+905554440000"


def counters(client: Client) -> list[Any]:
    rows = client.get("/v1/broadcasts").json["data"]
    return [(row["id"], row["status"], row["stats"], row["delivery"]) for row in rows]


def ended(client: Client, at: int, **changes: Any) -> str:
    """A broadcast to three people with three outcomes that ended at a time."""
    public_id = client.post("/v1/broadcasts", request_of(3, **changes)).json["id"]
    settle(public_id, ("sent", "read"), ("failed", None), ("sent", "failed"))
    with database.transaction():
        Broadcast.update(finished_at=at).where(Broadcast.public_id == public_id).execute()
        Contact.update(created_at=at).execute()
    return str(public_id)


# Forgetting


def test_a_purge_erases_people_and_keeps_every_count(client: Client) -> None:
    ended(client, NOW - 91 * DAY)
    before = counters(client)
    found = upkeep.purge(90, NOW)
    assert (found["broadcasts"], found["messages"], found["contacts"]) == (1, 3, 3)
    assert counters(client) == before
    for row in Message.select():
        assert (row.recipient, row.content, row.variables, row.metadata, row.error_text) == (
            "",
            "",
            None,
            None,
            None,
        )
        assert "90555" not in (row.wamid or "")
    assert Contact.select().count() == Conversation.select().count() == 0
    assert upkeep.purge(90, NOW) == {"broadcasts": 0, "messages": 0, "contacts": 0}


def test_what_is_young_or_not_over_is_kept(client: Client) -> None:
    ended(client, NOW - 89 * DAY)
    client.post("/v1/broadcasts", request_of(2, scheduleAt="2040-01-01T00:00:00Z"))
    upkeep.purge(90, NOW)
    assert Message.select().where(Message.recipient == "").count() == 0
    assert Contact.select().where(Contact.recipient == ANA).exists()


def test_a_dry_run_erases_nothing(client: Client) -> None:
    ended(client, NOW - 91 * DAY)
    assert upkeep.purge(90, NOW, dry_run=True) == {"broadcasts": 1}
    assert Message.select().where(Message.recipient == "").count() == 0


def test_the_api_and_the_export_still_answer_after_a_purge(client: Client) -> None:
    public_id = ended(client, NOW - 91 * DAY)
    upkeep.purge(90, NOW)
    assert client.get(f"/v1/broadcasts/{public_id}/errors").json["data"][0]["count"] == 2
    rows = client.get(f"/v1/broadcasts/{public_id}/messages").json["data"]
    assert [row["to"] for row in rows] == ["", "", ""]
    assert (
        client.get(f"/v1/broadcasts/{public_id}/messages", headers={"Accept": "text/csv"}).status_code == 200
    )
    assert client.post(f"/v1/broadcasts/{public_id}/retry").json["retried"] == 0


def test_erasing_a_person_leaves_no_trace_and_every_other_as_it_was(client: Client) -> None:
    public_id = ended(client, NOW)
    client.post("/v1/broadcasts", request_of(2, scheduleAt="2040-01-01T00:00:00Z"))
    with database.transaction():
        for number in ("905554440000", "905554440001"):
            Callback.create(received_at=NOW, body=json.dumps({"from": number}))
            events.add("optout.changed", [{"to": f"+{number}"}], NOW)
        opt_outs.suppress([ANA], "asked", "api", NOW)
        allowance.reached([("77", ANA, NOW)])
        people.join([("+905554440001", "+905554449999")])
    totals = [row[2]["total"] for row in counters(client)]
    found = upkeep.erase(ANA, NOW)
    assert found == {
        "cancelled": 1,
        "callbacks": 1,
        "events": 2,
        "contacts": 1,
        "messages": 2,
        "onTheirWay": 0,
    }
    assert [row[2]["total"] for row in counters(client)] == totals
    # A bare row stays for the opt-out and the allowance; nobody is shown it.
    bare = Contact.get(Contact.id == people.one(ANA))
    assert (bare.name, bare.erased_at) == (None, NOW)
    assert client.get("/v1/contacts", params={"to": ANA}).json["data"] == []
    for table in (Message, Callback, Event):
        for row in table.select().dicts():
            assert "905554440000" not in json.dumps(row)
    assert Message.select().where(Message.recipient == "+905554440001").count() == 2
    assert suppressions.find(ANA) is not None
    [cancelled] = Message.select().where(Message.state == "cancelled")
    assert cancelled.error_code == "ERASED"
    assert client.get(f"/v1/broadcasts/{public_id}").json["stats"]["success"] == 2


def test_a_message_on_its_way_is_told_and_kept(client: Client) -> None:
    public_id = client.post("/v1/broadcasts", request_of(2)).json["id"]
    settle(public_id, ("unknown", None), ("pending", None))
    assert upkeep.erase(ANA, NOW)["onTheirWay"] == 1
    assert Message.select().where(Message.recipient == ANA).count() == 1


def test_who_was_reached_is_forgotten_after_a_day_whatever_became_of_the_portfolio(channel_row: Any) -> None:
    names = [f"+90555444{i:04d}" for i in range(5)]
    with database.transaction():
        people.add_new(names, NOW)
        young, old = (
            [("77", name, NOW) for name in names[:2]],
            [("77", name, NOW - 2 * DAY) for name in names[2:]],
        )
        allowance.reached([*young, *old, ("gone", names[0], NOW - 3 * DAY)])
    upkeep.purge(90, NOW)
    assert Reached.select().count() == len(young)


def test_a_number_that_is_none_is_refused(db: Any) -> None:
    with pytest.raises(Invalid, match="NUMBER"):
        upkeep.erase("0911", NOW)


# Backups


def test_a_backup_is_whole_private_and_not_overwritten(client: Client, tmp_path: Path) -> None:
    client.post("/v1/broadcasts", request_of(5))
    target = tmp_path / "copy.db"
    assert upkeep.backup(target) == target.stat().st_size > 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with pytest.raises(Misconfigured, match="exists"):
        upkeep.backup(target)
    upkeep.backup(target, overwrite=True)
    assert not list(tmp_path.glob("*.part*"))


def test_a_backup_to_nowhere_is_told(db: Any, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        upkeep.backup(tmp_path / "no" / "such" / "folder" / "copy.db")


def stored(settings: Settings) -> Path:
    return Path(settings.database.partition(":///")[2])


def test_a_restore_pauses_what_had_not_ended(client: Client, settings: Settings, tmp_path: Path) -> None:
    running = client.post("/v1/broadcasts", request_of(3)).json["id"]
    settle(running, ("sent", None), ("sending", None), ("pending", None))
    over = ended(client, NOW)
    last_id = max(row.id for row in Message.select())
    upkeep.backup(tmp_path / "copy.db")
    later = client.post("/v1/broadcasts", request_of(1)).json["id"]
    database.close()
    paused, kept = upkeep.restore(tmp_path / "copy.db", settings, NOW)
    assert paused == 1
    assert kept is not None
    assert kept.exists()
    client = Client(settings, database.open(settings.database))
    told = client.get(f"/v1/broadcasts/{running}").json
    assert (told["status"], told["inFlight"], told["unknown"]) == ("paused", 0, 1)
    assert "restored from a backup" in told["whyWaiting"]["detail"]
    assert client.get(f"/v1/broadcasts/{over}").json["status"] == "partial"
    assert client.get(f"/v1/broadcasts/{later}").status_code == 404
    client.post("/v1/broadcasts", request_of(1))
    assert max(row.id for row in Message.select()) > last_id + 100_000


def test_a_restore_that_is_killed_leaves_the_database_that_was_there(
    client: Client, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the last moment before the backup takes its place; a start must not find nothing and begin anew."""
    upkeep.backup(tmp_path / "copy.db")
    later = client.post("/v1/broadcasts", request_of(1)).json["id"]
    database.close()
    replace = Path.replace

    def killed(draft: Path, target: Path) -> Path:
        if target.name == "broadcaster.db":
            raise KeyboardInterrupt
        return replace(draft, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed)
        upkeep.restore(tmp_path / "copy.db", settings, NOW)
    client = Client(settings, database.open(settings.database))
    assert client.get(f"/v1/broadcasts/{later}").status_code == 200


def test_two_restores_in_one_second_keep_both_databases(
    client: Client, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep.time, "time", lambda: NOW / 1000)
    upkeep.backup(tmp_path / "copy.db")
    database.close()
    kept = [upkeep.restore(tmp_path / "copy.db", settings, NOW)[1] for _ in range(3)]
    assert len(set(kept)) == 3
    assert all(path and path.exists() for path in kept)


def test_a_receipt_of_what_the_backup_did_not_know_settles_it(client: Client) -> None:
    client.post("/v1/broadcasts", request_of(1))
    [row] = Message.select()
    with database.transaction():
        [told] = payloads.read(callback(status("delivered"))).receipts
        receive([Matched(row.id, 1, told)], NOW)
    [row] = Message.select()
    assert (row.state, row.delivery) == ("sent", "delivered")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "no database of ours"), (b"nonsense" * 1000, "no database"), (None, "no file")],
)
def test_what_is_no_backup_changes_nothing(
    client: Client, settings: Settings, tmp_path: Path, content: bytes | None, told: str
) -> None:
    client.post("/v1/broadcasts", request_of(2))
    bad = tmp_path / "bad.db"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(Misconfigured, match=told):
        upkeep.restore(bad, settings, NOW)
    assert Message.select().count() == 2
    assert not [path for path in settings.data_dir.iterdir() if "restored" in path.name]


def test_a_backup_of_a_newer_release_is_refused(client: Client, settings: Settings, tmp_path: Path) -> None:
    upkeep.backup(tmp_path / "copy.db")
    other = type(models.database.obj)(str(tmp_path / "copy.db"))
    other.execute_sql("INSERT INTO schema_migration (name, applied) VALUES ('9999_future', '2030-01-01')")
    other.close()
    with pytest.raises(Misconfigured, match="newer release"):
        upkeep.restore(tmp_path / "copy.db", settings, NOW)


def test_a_running_server_refuses_a_restore(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_bytes(b"x")
    with presence.running(settings.data_dir), pytest.raises(Misconfigured, match="in use"):
        upkeep.restore(tmp_path / "copy.db", settings, NOW)
    with presence.running(settings.data_dir), presence.running(settings.data_dir):
        pass


def test_a_kill_and_a_restore_send_nothing_until_somebody_resumes(field: Field) -> None:
    """Real processes: a backup while it sends, a kill, a restore; nobody gets it twice unless asked for."""
    field.sandbox("--latency", "20")
    here = field.installation(pace=20)
    server = field.start(here)
    # So many that they outlast the backup on any machine.
    accepted = here.ask("POST", "/v1/broadcasts", json=request_of(600))
    path = f"/v1/broadcasts/{accepted['id']}"
    wait_until(lambda: here.ask("GET", path)["stats"]["success"] >= 10)
    copy = field.folder / "copy.db"
    operator = Shell(here.folder, **here.environ)
    assert operator.process("backup", str(copy)).returncode == 0
    server.kill()
    sent = field.report()["accepted"]
    assert operator.process("restore", str(copy), "--yes").returncode == 0
    field.start(here)
    told = here.ask("GET", path)
    assert told["status"] == "paused"
    assert told["inFlight"] == 0
    assert field.report()["accepted"] == sent
    unknown = told["unknown"]
    here.add_channel(CHANNEL, "--pace", "500")
    here.ask("POST", f"{path}/resume")
    wait_until(lambda: here.ask("GET", path)["stats"]["pending"] == unknown)
    report = field.report()
    # What left between the backup and the kill is all that a resume may repeat.
    assert report["duplicates"] <= sent - told["stats"]["success"]
    assert {row["state"] for row in here.ask("GET", f"{path}/messages")["data"]} <= {"sent", "unknown"}
