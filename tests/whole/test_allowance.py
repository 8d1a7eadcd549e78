"""G7's second half over real processes: no 24 hours reach more people than the tier allows."""

import sqlite3
import time
from typing import Any

from tests.support.installation import Field
from tests.support.samples import request_of
from tests.support.waiting import wait_until

TIER_250, OTHER = "100000000000002", "100000000000003"


def installed(field: Field, reached: int, *channels: str) -> Any:
    """An installation whose numbers share one TIER_250, of which so many people are used up."""
    field.sandbox("--latency", "5")
    here = field.bare_installation()
    for channel in channels:
        here.add_channel(channel, "--portfolio", "p", "--pace", "200")
    now = int(time.time() * 1000)
    with sqlite3.connect(here.folder / "data" / "broadcaster.db") as opened:
        opened.execute("UPDATE channel SET tier = 'TIER_250'")
        people = [(i + 1, f"+90555333{i:04d}") for i in range(reached)]
        opened.executemany("INSERT INTO contact (id, recipient, created_at) VALUES (?, ?, 1)", people)
        opened.executemany("INSERT INTO contact_name (contact_id, name) VALUES (?, ?)", people)
        rows = [(contact_id, "p", now - 3_600_000) for contact_id, _ in people]
        opened.executemany("INSERT INTO reached (contact_id, portfolio, at) VALUES (?, ?, ?)", rows)
    opened.close()
    return here


def send(here: Any, channel: str, first: int, count: int) -> str:
    entries = [{"to": f"+90555444{i:04d}", "variables": list("abcd")} for i in range(first, first + count)]
    document = request_of(channel=channel, recipients=entries)
    return f"/v1/broadcasts/{here.ask('POST', '/v1/broadcasts', json=document)['id']}"


def at_the_wall(here: Any, *paths: str) -> bool:
    """Whether these wait for the allowance alone, with nothing on its way."""
    rows = [here.ask("GET", path) for path in paths]
    return all((r["whyWaiting"] or {}).get("reason") == "quota" and not r["inFlight"] for r in rows)


def test_what_does_not_fit_waits_also_after_a_restart(field: Field) -> None:
    here = installed(field, 200, TIER_250)
    process = field.start(here)
    path = send(here, TIER_250, 0, 100)
    wait_until(lambda: field.report()["accepted"] == 50 and at_the_wall(here, path))
    process.kill()
    field.start(here)
    wait_until(lambda: at_the_wall(here, path))
    known = send(here, TIER_250, 0, 20)
    wait_until(lambda: here.ask("GET", known)["finishedAt"], 60)
    found = here.ask("GET", path)
    assert found["stats"] == {"pending": 50, "success": 50, "failed": 0, "cancelled": 0, "total": 100}
    assert (found["quota"]["available"], found["inFlight"]) == (0, 0)
    assert found["quota"]["opensAt"] == found["whyWaiting"]["until"] is not None
    assert field.report()["accepted"] == 70


def test_two_channels_of_one_portfolio_share_the_wall(field: Field) -> None:
    here = installed(field, 200, TIER_250, OTHER)
    field.start(here)
    paths = [send(here, TIER_250, 0, 100), send(here, OTHER, 100, 100)]
    wait_until(lambda: field.report()["accepted"] == 50 and at_the_wall(here, *paths))
    counts = [here.ask("GET", path)["stats"] for path in paths]
    assert sum(count["success"] for count in counts) == 50
    assert sum(count["pending"] for count in counts) == 150


def test_it_goes_on_by_itself_when_the_tier_is_raised(field: Field) -> None:
    here = installed(field, 240, TIER_250)
    field.start(here)
    path = send(here, TIER_250, 0, 30)
    wait_until(lambda: at_the_wall(here, path))
    with sqlite3.connect(here.folder / "data" / "broadcaster.db") as opened:
        opened.execute("UPDATE channel SET tier = 'TIER_2K'")
    opened.close()
    wait_until(lambda: here.ask("GET", path)["finishedAt"])
    assert here.ask("GET", path)["stats"]["success"] == 30


def test_a_refused_person_costs_nothing(field: Field) -> None:
    here = installed(field, 245, TIER_250)
    field.start(here)
    entries = [{"to": f"+90555{i:03d}9001", "variables": list("abcd")} for i in range(10)]
    document = request_of(channel=TIER_250, recipients=entries)
    path = f"/v1/broadcasts/{here.ask('POST', '/v1/broadcasts', json=document)['id']}"
    wait_until(lambda: here.ask("GET", path)["finishedAt"])
    again = send(here, TIER_250, 0, 10)
    # The wall shows as soon as the last places are taken, a moment before those messages have left.
    wait_until(lambda: here.ask("GET", again)["stats"]["success"] == 5 and at_the_wall(here, again))
    assert here.ask("GET", again)["stats"]["pending"] == 5
