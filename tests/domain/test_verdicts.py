import json
from typing import Any

import pytest

from broadcaster.domain import verdicts
from broadcaster.domain.verdicts import Reaction, judge


def refusal(code: Any, **extra: Any) -> bytes:
    return json.dumps({"error": {"message": "(#1) no", "code": code, **extra}}).encode()


def accepted(wamid: Any = "wamid.A==") -> bytes:
    return json.dumps({"messages": [{"id": wamid}], "contacts": []}).encode()


@pytest.mark.parametrize(
    ("label", "status", "body", "reaction", "code", "reason"),
    [
        ("accepted", 200, accepted(), Reaction.SENT, None, None),
        ("throughput exceeded", 400, refusal(130429), Reaction.SLOW, "130429", None),
        ("throughput exceeded, other status", 403, refusal(130429), Reaction.SLOW, "130429", None),
        ("account throttled", 400, refusal(80007), Reaction.SLOW, "80007", None),
        ("unknown fault", 500, refusal(131000), Reaction.RETRY, "131000", None),
        ("service down", 503, refusal(131016), Reaction.RETRY, "131016", None),
        ("pair rate", 400, refusal(131056), Reaction.PAIR, "131056", None),
        ("token expired", 401, refusal(190), Reaction.PAUSE, "190", "token"),
        ("permission gone", 403, refusal(200), Reaction.PAUSE, "200", "token"),
        ("template paused", 400, refusal(132015), Reaction.PAUSE, "132015", "template"),
        ("template missing", 404, refusal(132001), Reaction.PAUSE, "132001", "template"),
        ("no payment method", 400, refusal(131042), Reaction.PAUSE, "131042", "channel"),
        ("number gone", 400, refusal(100, error_subcode=33), Reaction.PAUSE, "100", "channel"),
        ("bad parameter", 400, refusal(100), Reaction.FAIL, "100", None),
        ("undeliverable", 400, refusal(131026), Reaction.FAIL, "131026", None),
        ("undeliverable with a 500", 500, refusal(131026), Reaction.FAIL, "131026", None),
        ("unknown code, permanent", 400, refusal(999_999), Reaction.FAIL, "999999", None),
        ("unknown code, 503", 503, refusal(999_999), Reaction.RETRY, "999999", None),
        (
            "unknown code, says transient",
            400,
            refusal(999_999, is_transient=True),
            Reaction.RETRY,
            "999999",
            None,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_answer_with_a_code_is_judged_by_it(
    label: str, status: int, body: bytes, reaction: Reaction, code: str | None, reason: str | None
) -> None:
    verdict = judge(status, body)
    assert (verdict.reaction, verdict.code, verdict.reason) == (reaction, code, reason)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"messages": []}'),
        (200, accepted(None)),
        (200, accepted("")),
        (500, accepted()),
        (502, b"<html>Bad Gateway</html>"),
        (400, refusal("190")),
        (400, refusal(None)),
        (400, refusal(True)),
        (200, b"[" * 100_000),
    ],
)
def test_an_answer_that_cannot_be_read_decides_nothing(status: int, body: bytes) -> None:
    assert judge(status, body) is verdicts.UNREADABLE


def test_the_details_are_told_rather_than_the_title() -> None:
    verdict = judge(400, refusal(131008, error_data={"details": "body is missing"}))
    assert verdict.text == "body is missing"
    assert judge(200, accepted()).wamid == "wamid.A=="


@pytest.mark.parametrize(
    ("contact", "names"),
    [
        ({"input": "1", "wa_id": "5215512345678"}, ("+5215512345678", None, None)),
        ({"user_id": "TR.2222"}, (None, "TR.2222", None)),
        (
            {"wa_id": "905551110002", "user_id": "TR.2222", "parent_user_id": "TR.ENT.5551"},
            ("+905551110002", "TR.2222", "TR.ENT.5551"),
        ),
        ({"wa_id": 7, "user_id": ["x"], "parent_user_id": "unknown"}, (None, None, None)),
        ({}, (None, None, None)),
        ("x", (None, None, None)),
    ],
)
def test_an_answer_tells_what_meta_calls_the_person(contact: Any, names: tuple[str | None, ...]) -> None:
    verdict = judge(200, json.dumps({"messages": [{"id": "w"}], "contacts": [contact]}).encode())
    assert verdict.reaction == Reaction.SENT
    assert (verdict.wa_id, verdict.user_id, verdict.parent_id) == names
