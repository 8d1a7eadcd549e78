"""The judge of worlds finds each promise that is broken, and nothing else."""

from typing import Any

import pytest

from tests.torture import judge
from tests.torture.graph import Accepted
from tests.torture.judge import Evidence, Order

ANA, BEN = "+905550000001", "+905550000002"
FULL = ("sent", "delivered", "read")


def row(
    to: str, state: str = "sent", delivery: str | None = "read", code: str | None = None
) -> dict[str, Any]:
    return {"to": to, "state": state, "delivery": delivery, "error": {"code": code} if code else None}


def accepted(to: str, receipts: tuple[str, ...] = FULL) -> Accepted:
    return Accepted(to, "i.1.1", 0.0, receipts)


def world(
    *rows: dict[str, Any], graph: list[Accepted] | None = None, refused: int | None = None, **order: Any
) -> Evidence:
    """A world with one broadcast to Ana and Ben that went well, but for what is given."""
    shown = list(rows) or [row(ANA), row(BEN)]
    body = {
        "template": {"name": order.pop("template", "appointment")},
        "recipients": [{"to": ANA}, {"to": BEN}],
        "onUnknown": order.pop("on_unknown", "fail"),
    }
    states = [one["state"] for one in shown]
    stats = {
        "pending": sum(state in ("pending", "sending", "unknown") for state in states),
        "success": states.count("sent"),
        "failed": states.count("failed"),
        "cancelled": states.count("cancelled"),
        "total": 2,
    }
    document = {"stats": stats, "finishedAt": "now", "status": "completed", "whyWaiting": None}
    return Evidence(
        [Order("k", body, **({"id": "b", "ids": {"b"}} | order))],
        {"b": document},
        {"b": shown},
        [accepted(ANA), accepted(BEN)] if graph is None else graph,
        {} if refused is None else {BEN: {refused}},
        set(),
        {"b"},
    )


@pytest.mark.parametrize(
    "found",
    [
        world(),
        world(row(ANA), row(BEN, "failed", None, "131026"), graph=[accepted(ANA)], refused=131026),
        world(row(ANA), row(BEN, "failed", None, judge.UNKNOWN), graph=[accepted(ANA)]),
        world(row(ANA), row(BEN, "failed", None, judge.UNKNOWN), graph=[accepted(ANA), accepted(BEN, ())]),
        world(row(ANA), row(BEN, "cancelled", None), graph=[accepted(ANA)], stop_asked=True),
        world(row(ANA), row(BEN, "failed", None, judge.UNKNOWN), graph=[accepted(ANA), accepted(BEN, ())],
              risks=1, stop_asked=True),
        world(row(ANA), row(BEN, delivery="failed", code="131026"), graph=[
            accepted(ANA), accepted(BEN, ("sent", "failed:131026"))]),
        world(graph=[accepted(ANA), accepted(BEN), accepted(BEN)], risks=1),
        world(graph=[accepted(ANA), accepted(BEN), accepted(BEN)], on_unknown="resend"),
        world(graph=[accepted(ANA), accepted(BEN, ("failed:131049",)), accepted(BEN)], retries=1),
        world(row(ANA), row(BEN, "cancelled", None, "131049"), retries=1, stop_asked=True,
              graph=[accepted(ANA), accepted(BEN, ("sent", "failed:131049"))]),
    ],
    ids=["all read", "refused", "unknown", "no receipt", "stopped", "second try stopped",
         "undelivered", "resent by hand",
         "resent by policy", "retried", "retry stopped"],
)  # fmt: skip
def test_what_may_be_is_no_fault(found: Evidence) -> None:
    assert judge.faults(found) == []


def spoilt(**changes: Any) -> Evidence:
    found = world()
    for name, value in changes.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (world(graph=[accepted(ANA), accepted(BEN), accepted(BEN)]), "accepted 2 messages"),
        (world(graph=[accepted(ANA), accepted(BEN), accepted(BEN)], retries=1), "accepted 2 messages"),
        (world(graph=[accepted(ANA)]), "accepted nothing"),
        (world(row(ANA)), "is missing"),
        (world(row(ANA), row(BEN, "unknown", None)), "Graph accepted it"),
        (world(row(ANA), row(BEN, "pending", None), graph=[accepted(ANA)]), "accepted nothing"),
        (world(row(ANA), row(BEN, "cancelled", None), graph=[accepted(ANA)]), "accepted nothing"),
        (world(row(ANA), row(BEN, "cancelled", None), graph=[accepted(ANA), accepted(BEN, ())],
               stop_asked=True), "Graph accepted it"),
        (world(row(ANA), row(BEN, "failed", None, judge.UNKNOWN)), "Graph accepted it"),
        (world(row(ANA), row(BEN, "failed", None, "131026"), graph=[accepted(ANA)]), "accepted nothing"),
        (world(row(ANA), row(BEN, delivery="delivered")), "Graph accepted it"),
        (world(graph=[accepted(ANA), accepted(BEN), accepted("+1")]), "whom nobody asked for"),
        (world(ids={"a", "b"}), "more than once"),
        (world(id=None), "never accepted"),
        (spoilt(documents={}), "is gone"),
        (spoilt(orders=[]), "nobody was told of"),
        (spoilt(finished=set()), "no event"),
        (spoilt(suppressed={BEN}), None),
    ],
    ids=["twice", "twice by a retry", "told sent", "missing", "unknown for ever", "pending for ever",
         "cancelled by nobody", "cancelled though accepted",
         "given up though read", "no refusal", "receipt lost", "a stranger",
         "two for a key", "never accepted", "gone", "from nowhere", "no event", "not marketing"],
)  # fmt: skip
def test_a_broken_promise_is_found(found: Evidence, fault: str | None) -> None:
    told = judge.faults(found)
    assert any(fault in one for one in told) if fault else told == []


@pytest.mark.parametrize("graph", [[accepted(ANA)], [accepted(ANA), accepted(BEN)]])
def test_who_opted_out_gets_no_marketing(graph: list[Accepted]) -> None:
    state = row(BEN, "failed", None, "SUPPRESSED") if len(graph) == 1 else row(BEN)
    found = world(row(ANA), state, graph=graph, template=judge.MARKETING)
    found.suppressed = {BEN}
    assert bool(judge.faults(found)) == (len(graph) == 2)


def test_sums_are_added_up() -> None:
    found = world()
    found.documents["b"]["stats"]["success"] = 1
    assert "its rows are" in judge.faults(found)[0]
    found = world()
    found.documents["b"]["finishedAt"] = None
    assert "did not end" in judge.faults(found)[0]


def test_a_counter_that_falls_or_goes_away_is_found() -> None:
    assert judge.fell({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 0}) == []
    assert judge.fell({"a": 1}, {"a": 0}) == ["a went from 1 to 0"]
    assert judge.fell({"a": 1}, {}) == ["a went from 1 to None"]


def test_numbers_and_secrets_in_a_log_are_found() -> None:
    assert judge.leaks("to=+90555***01", ["hush"]) == []
    assert judge.leaks("to=905550000001", []) == ["the log names 905550..."]
    assert judge.leaks("token hush", ["hush", ""]) == ["the log has the secret hush..."]
