"""The sandbox as a stand-in: it refuses what Meta refuses and counts what it saw."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from broadcaster.sandbox import testbed
from broadcaster.sandbox.check import Refused, check_envelope, check_template
from tests.support.samples import BY_NAME


def card(image: str = "1") -> list[dict[str, Any]]:
    return [
        {"type": "header", "parameters": [{"type": "image", "image": {"id": image}}]},
        {"type": "body", "parameters": [{"type": "text", "text": "Tea"}, {"type": "text", "text": "5"}]},
        {
            "type": "button",
            "sub_type": "url",
            "index": "1",
            "parameters": [{"type": "text", "text": "tea"}],
        },
    ]


CAROUSEL: list[dict[str, Any]] = [
    {"type": "body", "parameters": [{"type": "text", "text": "Ana"}]},
    {
        "type": "carousel",
        "cards": [{"card_index": 0, "components": card()}, {"card_index": 1, "components": card()}],
    },
]
OFFER: list[dict[str, Any]] = [
    {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://x.example/a.png"}}]},
    {"type": "body", "parameters": [{"type": "text", "text": "Ana"}, {"type": "text", "text": "10%"}]},
    {
        "type": "limited_time_offer",
        "parameters": [
            {"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": 1_795_000_000_000}}
        ],
    },
    {
        "type": "button",
        "sub_type": "copy_code",
        "index": 0,
        "parameters": [{"type": "coupon_code", "coupon_code": "TEN"}],
    },
    {"type": "button", "sub_type": "url", "index": 1, "parameters": [{"type": "text", "text": "x"}]},
]


def template(name: str, components: Any, language: str = "en") -> dict[str, Any]:
    return {"name": name, "language": {"code": language}, "components": components}


@pytest.mark.parametrize(("name", "components"), [("collection", CAROUSEL), ("flash_sale", OFFER)])
def test_whole_messages_pass(name: str, components: Any) -> None:
    check_template(template(name, components), BY_NAME)


def spoilt(path: list[Any], value: Any) -> list[dict[str, Any]]:
    """The carousel with one place changed; a value of None removes it."""
    components: Any = copy.deepcopy(CAROUSEL)
    place = components
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return components  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (template("nope", []), 132001),
        (template("hello_world", [], "fr"), 132001),
        (template("winter_news", []), 132015),
        (template("prize_draw", []), 132001),
        (template("feedback", [{"type": "body", "parameters": []}]), 132000),
        (template("feedback", [{"type": "body", "parameters": [{"type": "text", "text": ""}]}]), 131008),
        (template("feedback", [{"type": "body", "parameters": [{"type": "text", "text": "a\nb"}]}]), 132018),
        (template("feedback", [{"type": "body", "parameters": [{"type": "image", "image": {}}]}]), 132012),
        (
            template(
                "feedback",
                [{"type": "body", "parameters": [{"type": "text", "text": "a", "parameter_name": "n"}]}],
            ),
            132012,
        ),
        (template("hello_world", [{"type": "header", "parameters": []}], "tr"), 132018),
        (template("feedback", "x"), 100),
        (template("collection", spoilt([1, "cards", 1], None)), 132000),
        (template("collection", spoilt([1, "cards", 1, "card_index"], 5)), 132012),
        (template("collection", spoilt([1, "cards", 0, "components", 2], None)), 131008),
        (template("collection", spoilt([1, "cards", 0, "components", 2, "index"], "0")), 132018),
        (template("flash_sale", OFFER[:2] + OFFER[3:]), 132012),
        (template("flash_sale", OFFER[:3] + OFFER[4:]), 131008),
    ],
)
def test_what_does_not_fit_gets_metas_code(sent: dict[str, Any], code: int) -> None:
    with pytest.raises(Refused) as caught:
        check_template(sent, BY_NAME)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "change",
    [
        {"messaging_product": "sms"},
        {"type": "text"},
        {"to": "abc"},
        {"to": None},
        {"to": None, "recipient": "US"},
        {"biz_opaque_callback_data": "x" * 513},
    ],
)
def test_a_faulty_envelope_is_refused(change: dict[str, Any]) -> None:
    body = {"messaging_product": "whatsapp", "to": "+905554443301", "type": "template", "template": {}}
    assert check_envelope(body)[0] == "+905554443301"
    with pytest.raises(Refused):
        check_envelope(body | change)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with testbed.sandbox(tmp_path, "--latency", "1", "--throughput", "5") as address:
        yield address


def send(url: str, to: str, tag: str | None = None, number: str = "100000000000001") -> requests.Response:
    return requests.post(
        f"{url}/v25.0/{number}/messages",
        json={
            "messaging_product": "whatsapp",
            "to": to,
            "type": "template",
            "template": {"name": "hello_world", "language": {"code": "tr"}},
            "biz_opaque_callback_data": tag,
        },
        headers={"Authorization": "Bearer t"},
        timeout=10,
    )


def test_the_report_counts_duplicates_and_the_limit_holds(url: str) -> None:
    tags = ("i.1.1", "i.1.2", "i.2.1", None, None, None, None)
    answers = [send(url, "+905554440001", tag).status_code for tag in tags]
    report = testbed.sandbox_report(url)
    assert answers[:5] == [200] * 5
    assert report["refused"].get("130429", 0) == answers.count(400)
    assert (report["requests"], report["duplicates"]) == (7, 1)
    assert report["accepted"] == answers.count(200)
    requests.delete(f"{url}/sandbox/report", timeout=10)
    assert testbed.sandbox_report(url)["requests"] == 0


def test_it_wants_a_token_and_a_number_it_knows(url: str) -> None:
    assert requests.get(f"{url}/v25.0/100000000000001", timeout=10).status_code == 401
    error = send(url, "+905554440001", number="42").json()["error"]
    assert error["code"] == 100
