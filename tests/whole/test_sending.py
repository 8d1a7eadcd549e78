"""Sending, end to end: a server process, its worker and huey, a sandbox, real sockets and files."""

import random
import re
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from broadcaster.clock import epoch_ms
from broadcaster.domain.timestamps import format_time, parse_time
from broadcaster.sandbox import testbed
from tests.support.installation import Field
from tests.support.samples import request_of
from tests.support.waiting import wait_until


def accept(here: testbed.Installation, count: int = 3, **changes: Any) -> str:
    return f"/v1/broadcasts/{here.ask('POST', '/v1/broadcasts', json=request_of(count, **changes))['id']}"


def numbers(*last_digits: str) -> list[dict[str, Any]]:
    return [
        {"to": f"+90555{i:03d}{digits}", "variables": ["a", "b", "c", "d"]}
        for i, digits in enumerate(last_digits)
    ]


def finished(here: testbed.Installation, path: str, seconds: float = 60) -> dict[str, Any]:
    """The broadcast once it has ended; its counters must sum to the total at every look."""

    def look() -> Any:
        document = here.ask("GET", path)
        stats = document["stats"]
        assert sum(stats[key] for key in ("pending", "success", "failed", "cancelled")) == stats["total"]
        return document if document["finishedAt"] else None

    found: dict[str, Any] = wait_until(look, seconds)
    return found


def rows_of(here: testbed.Installation, path: str) -> dict[str, dict[str, Any]]:
    rows = here.ask("GET", f"{path}/messages", params={"limit": "1000"})["data"]
    return {row["to"]: row for row in rows}


def test_everyone_is_sent_exactly_once(field: Field) -> None:
    field.sandbox("--latency", "20")
    here = field.installation(5000)
    field.start(here)
    path = accept(here, 1000)
    done = finished(here, path)
    assert done["stats"] == {"pending": 0, "success": 1000, "failed": 0, "cancelled": 0, "total": 1000}
    assert (done["status"], done["late"], done["inFlight"], done["unknown"]) == ("completed", False, 0, 0)
    assert parse_time(done["createdAt"]) <= parse_time(done["startedAt"]) <= parse_time(done["finishedAt"])
    report = field.report()
    assert (report["requests"], report["accepted"], report["duplicates"]) == (1000, 1000, 0)
    wamid = rows_of(here, path)["+905554440007"]["wamid"]
    assert here.ask("GET", f"/v1/messages/{wamid}")["to"] == "+905554440007"


def test_web_and_worker_may_be_two_processes(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(500)
    field.start(here, "web")
    path = accept(here, 20)
    assert here.ask("GET", path)["whyWaiting"]["detail"] == "no worker is running"
    assert here.call("GET", "/readyz").status_code == 503
    field.start(here, "worker")
    assert finished(here, path)["stats"]["success"] == 20
    assert here.call("GET", "/readyz").status_code == 200


def test_each_answer_leads_to_its_state(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(200, unknown_window="600")
    field.start(here)
    path = accept(
        here,
        recipients=numbers(
            "0001", "9001", "9002", "9003", "9004", "9005", "9006", "9008", "9012", "9013",
        ),
    )  # fmt: skip
    wait_until(lambda: here.ask("GET", path)["stats"]["pending"] == 3)
    found = {
        to[-4:]: (row["state"], row["error"] and row["error"]["code"])
        for to, row in rows_of(here, path).items()
    }
    assert found == {
        "0001": ("sent", None),
        "9001": ("failed", "131026"),
        "9002": ("failed", "131049"),
        "9003": ("sent", None),
        "9004": ("sent", None),
        "9005": ("sent", None),
        "9006": ("unknown", "NO_ANSWER"),
        "9008": ("unknown", "UNREADABLE_ANSWER"),
        "9012": ("failed", "100"),
        "9013": ("unknown", "UNREADABLE_ANSWER"),
    }
    document = here.ask("GET", path)
    assert (document["unknown"], document["finishedAt"]) == (3, None)
    assert document["whyWaiting"]["reason"] == "receipts"
    assert field.report()["duplicates"] == 0


def test_unknown_is_closed_after_its_window_and_never_sent_again(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(200, unknown_window="2")
    field.start(here)
    path = accept(here, recipients=numbers("9006", "9006", "9008", "0001"))
    done = finished(here, path)
    assert (done["stats"]["success"], done["stats"]["failed"], done["status"]) == (1, 3, "partial")
    rows = here.ask("GET", f"{path}/messages", params={"code": "OUTCOME_UNKNOWN"})["data"]
    assert len(rows) == 3
    report = field.report()
    assert (report["requests"], report["accepted"], report["duplicates"]) == (4, 4, 0)


@pytest.mark.parametrize(("digits", "reason"), [("9009", "token"), ("9011", "template")])
def test_what_would_fail_for_all_pauses_and_fails_nobody(field: Field, digits: str, reason: str) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(20)
    field.start(here)
    path = accept(here, recipients=numbers("0001", digits, *["0002"] * 40), onDuplicate="allow")
    paused = wait_until(
        lambda: (d := here.ask("GET", path)) and d["status"] == "paused" and not d["inFlight"] and d
    )
    assert paused["whyWaiting"]["reason"] == reason
    assert paused["stats"]["failed"] == 0
    assert paused["stats"]["pending"] > 30
    assert field.report()["requests"] == paused["stats"]["success"] + 1
    resumed = here.ask("POST", f"{path}/resume")
    assert resumed["status"] == "sending"
    wait_until(lambda: field.report()["requests"] > paused["stats"]["success"] + 1)
    here.ask("POST", f"{path}/stop")


def test_while_graph_cannot_be_reached_nobody_fails(field: Field, tmp_path: Path) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(50)
    with testbed.sandbox(tmp_path) as other:
        pass
    gone = testbed.Installation(tmp_path, other)
    gone.use_token(here.token)
    process = field.start(gone)
    here.url = gone.url
    path = accept(here, 5)
    wait_until(lambda: any(row["error"] for row in rows_of(here, path).values()))
    wait_until(lambda: here.ask("GET", path)["whyWaiting"]["reason"] == "channel")
    document = here.ask("GET", path)
    assert "cannot be reached" in document["whyWaiting"]["detail"]
    assert document["stats"]["pending"] == 5
    assert {row["error"]["code"] for row in rows_of(here, path).values() if row["error"]} == {"UNREACHABLE"}
    process.stop()
    field.start(here)
    done = finished(here, path)
    assert done["stats"]["success"] == 5


def test_a_killed_server_loses_nobody_and_sends_nobody_twice(field: Field) -> None:
    field.sandbox("--latency", "40")
    here = field.installation(400, unknown_window="1")
    process = field.start(here)
    path = accept(here, 600)
    moments = random.Random(7)
    in_flight_at_kills = 0
    for _ in range(4):
        target = field.report()["accepted"] + moments.randint(1, 90)
        wait_until(lambda accepted=target: field.report()["accepted"] >= accepted)
        process.kill()
        in_flight_at_kills += state_counts(here).get("sending", 0)
        process = field.start(here)
    done = finished(here, path, 60)
    report = field.report()
    assert report["duplicates"] == 0
    assert sum(done["stats"][k] for k in ("success", "failed")) == 600
    assert done["stats"]["success"] <= report["accepted"] <= 600
    failed = here.ask("GET", f"{path}/messages", params={"state": "failed", "limit": "1000"})["data"]
    assert {row["error"]["code"] for row in failed} <= {"OUTCOME_UNKNOWN"}
    # What was in flight at a kill became unknown, never pending: it may have left.
    assert len(failed) == in_flight_at_kills


def state_counts(here: testbed.Installation) -> dict[str, int]:
    """States as they stand in the file, read without the server."""
    database = sqlite3.connect(here.folder / "data" / "broadcaster.db", timeout=10)
    try:
        return dict(database.execute("SELECT state, count(*) FROM message GROUP BY state"))
    finally:
        database.close()


@pytest.mark.alone
def test_a_schedule_is_kept_within_a_second_even_over_a_kill_and_without_huey(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(200)
    process = field.start(here)
    due = epoch_ms() + 5000
    path = accept(here, 10, scheduleAt=format_time(due))
    assert here.ask("GET", path)["status"] == "scheduled"
    process.kill()
    database = sqlite3.connect(here.folder / "data" / "broadcaster.db")
    for table in ("task", "schedule", "kv", "counter"):
        database.execute(f"DELETE FROM {table}")
    database.commit()
    database.close()
    field.start(here)
    assert epoch_ms() < due, "the machine was too slow to restart before the schedule"
    done = finished(here, path)
    assert done["late"] is False
    assert 0 <= field.report()["firstAt"] * 1000 - due <= 1000


@pytest.mark.alone
def test_a_start_after_the_schedule_is_late_and_says_so(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(200)
    process = field.start(here)
    due = epoch_ms() + 800
    path = accept(here, 3, scheduleAt=format_time(due))
    process.kill()
    wait_until(lambda: epoch_ms() > due + 1100)
    field.start(here)
    done = finished(here, path)
    assert (done["late"], done["stats"]["success"]) == (True, 3)


@pytest.mark.alone
def test_the_pace_is_held_and_never_exceeded(field: Field) -> None:
    field.sandbox("--latency", "30", "--throughput", "80")
    here = field.installation()
    field.start(here)
    path = accept(here, 240)
    done = finished(here, path)
    report = field.report()
    assert done["stats"]["success"] == 240
    assert report["refused"] == {}
    assert report["peakPerSecond"] <= 80


@pytest.mark.alone
def test_the_pace_holds_over_a_restart(field: Field) -> None:
    field.sandbox("--latency", "5", "--throughput", "80")
    here = field.installation(unknown_window="1")
    process = field.start(here)
    path = accept(here, 200)
    wait_until(lambda: field.report()["accepted"] > 60)
    process.kill()
    field.start(here)
    finished(here, path)
    assert field.report()["refused"] == {}


@pytest.mark.alone
def test_stop_in_the_middle_lets_out_no_more_than_was_in_flight(field: Field) -> None:
    field.sandbox("--latency", "50")
    here = field.installation(100)
    field.start(here)
    path = accept(here, 1000)
    wait_until(lambda: field.report()["requests"] > 50)
    stopped = here.ask("POST", f"{path}/stop")
    seen = field.report()["requests"]
    done = finished(here, path)
    again = here.ask("POST", f"{path}/stop")
    assert again["stopped"] == stopped["stopped"]
    assert stopped["status"] == "cancelled"
    assert (
        stopped["stopped"]["cancelled"] + stopped["stopped"]["inFlight"] + stopped["stats"]["success"] == 1000
    )
    assert done["stats"]["cancelled"] >= 900 - 50 - 10
    assert field.report()["requests"] <= seen + stopped["stopped"]["inFlight"] + 10
    assert done["stats"]["success"] == field.report()["accepted"]


def test_a_broadcast_stopped_before_its_schedule_never_sends(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(200)
    field.start(here)
    due = epoch_ms() + 1500
    path = accept(here, 5, scheduleAt=format_time(due))
    stopped = here.ask("POST", f"{path}/stop")
    assert stopped["stopped"] == {"cancelled": 5, "inFlight": 0}
    assert stopped["finishedAt"]
    later = accept(here, 1, scheduleAt=format_time(due + 300))
    finished(here, later)
    assert field.report()["requests"] == 1


@pytest.mark.alone
def test_a_pause_holds_and_a_resume_finishes(field: Field) -> None:
    field.sandbox("--latency", "10")
    here = field.installation(100)
    field.start(here)
    path = accept(here, 120)
    wait_until(lambda: field.report()["requests"] > 20)
    here.ask("POST", f"{path}/pause")
    wait_until(lambda: here.ask("GET", path)["inFlight"] == 0)
    held = field.report()["requests"]
    other = accept(here, 5)
    finished(here, other)
    assert field.report()["requests"] <= held + 10 + 5
    here.ask("POST", f"{path}/resume")
    assert finished(here, path)["stats"]["success"] == 120


def test_sigterm_settles_what_is_in_flight(field: Field) -> None:
    field.sandbox("--latency", "400")
    here = field.installation(200)
    process = field.start(here)
    path = accept(here, 500)
    wait_until(lambda: field.report()["requests"] > 60)
    assert process.stop(signal.SIGTERM) == 0
    counts = state_counts(here)
    assert set(counts) == {"sent", "pending"}
    assert counts["sent"] == field.report()["accepted"]
    field.start(here)
    assert finished(here, path)["stats"]["success"] == 500
    assert field.report()["duplicates"] == 0


@pytest.mark.alone
def test_a_new_pace_is_followed_while_sending(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(2)
    field.start(here)
    path = accept(here, 60)
    wait_until(lambda: field.report()["requests"] > 2)
    here.add_channel("100000000000001", "--pace", "300")
    assert finished(here, path, 20)["pace"] == 300


def test_the_log_masks_numbers_and_names_no_token(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(100)
    process = field.start(here)
    finished(here, accept(here, recipients=numbers("0001", "9001")))
    process.stop()
    text = (field.folder / "server.log").read_text()
    assert "sandbox-token" not in text
    assert not re.search(r"\+90555\d{7}", text)
