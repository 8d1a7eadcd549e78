"""Numbers are read alike wherever they come in: in all four APIs and in CSV."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import pytest
from peewee import fn

from broadcaster.config import Settings
from broadcaster.domain import phone
from broadcaster.services import recipients_csv, upkeep
from broadcaster.store import people
from broadcaster.store.models import Message, Suppression
from tests.support.client import Client
from tests.support.samples import CHANNEL, NOW, request_of
from tests.support.vendors import ask_as_written
from tests.support.written_numbers import NO_NUMBERS, prefix, rounds

APIS = ["own", "mindo", "keebai", "monochat"]
VARIABLES = {"order_id": "7", "status": "ready"}
ASKED_FOR = {"own": ("", "+", "00"), "mindo": ("+", "00"), "keebai": ("+", "00"), "monochat": ("", "00")}
"""What a number may begin with in each API, as its vendor says."""


NO_NUMBERS_IN_JSON = [text for text, _ in NO_NUMBERS if not re.search("[\ud800-\udfff]", text)]


def asked(client: Client, api: str, texts: Iterable[str]) -> Any:
    return ask_as_written(client, api, [(text, VARIABLES) for text in texts])


@pytest.mark.parametrize("api", APIS)
def test_what_people_write_is_read_alike_in_every_api(client: Client, api: str) -> None:
    for pairs in rounds():
        spoken = [(form, number) for form, number in pairs if prefix(form) in ASKED_FOR[api]]
        before = Message.select(fn.MAX(Message.id)).scalar() or 0
        if spoken:
            answer = asked(client, api, [form for form, _ in spoken])
            assert answer.status_code in (200, 202), answer.text
        rows = Message.select().where(Message.id > before).order_by(Message.id)
        assert [row.recipient for row in rows] == [number for _, number in spoken]


@pytest.mark.parametrize("api", APIS)
def test_what_is_no_number_is_refused_alike_in_every_api(client: Client, api: str) -> None:
    for text in NO_NUMBERS_IN_JSON:
        answer = asked(client, api, [text])
        assert answer.status_code == 400, text[:60]
        assert "recipients[0]" in answer.text, text[:60]
    assert Message.select().count() == 0


@pytest.mark.parametrize("api", ["mindo", "keebai", "monochat"])
def test_a_vendor_refuses_what_its_page_does_not_take(client: Client, api: str) -> None:
    for pairs in rounds():
        unspoken = [form for form, _ in pairs if prefix(form) not in ASKED_FOR[api]]
        if unspoken:
            answer = asked(client, api, unspoken)
            assert answer.status_code == 400
            assert all(f"recipients[{at}]" in answer.text for at in range(len(unspoken)))
    assert asked(client, api, ["TR.1349120865530274"]).status_code == 400
    assert Message.select().count() == 0


def test_what_people_write_is_read_in_csv() -> None:
    for pairs in rounds():
        quoted = ['"{}"'.format(form.replace('"', '""')) for form, _ in pairs]
        raw = "\n".join(["Name,to", *(f"Ana,{cell}" for cell in quoted), ""]).encode()
        read = [phone.recipient(row["to"]) for row in recipients_csv.read(raw).recipients]
        assert read == [number for _, number in pairs]


def test_opt_outs_are_added_found_and_lifted_as_people_write_them(client: Client) -> None:
    for pairs in rounds():
        forms = [form for form, _ in pairs]
        answer = client.post("/v1/suppressions", {"to": forms})
        assert (answer.status_code, answer.json["added"]) == (201, len(forms)), answer.text
        for form, number in pairs:
            [found] = client.get("/v1/suppressions", params={"to": form}).json["data"]
            assert found["to"] in phone.spellings(number)
            # A server sees an escaped slash as one that parts a path.
            path = f"/v1/suppressions/{quote(form.replace('/', ' '), safe='')}"
            assert client.call("DELETE", path).status_code == 204, form
        assert Suppression.select().count() == 0


def test_what_is_no_number_gets_no_opt_out(client: Client) -> None:
    texts = NO_NUMBERS_IN_JSON[:99]
    answer = client.post("/v1/suppressions", {"to": ["+905554443301", *texts]})
    assert answer.status_code == 400
    fields = [error["field"] for error in answer.json["errors"]]
    assert fields == [f"to[{at}]" for at in range(1, len(texts) + 1)]
    for text in (*texts[:20], "0555 444 33 01"):
        assert client.get("/v1/suppressions", params={"to": text}).status_code == 400
        assert client.get("/v1/contacts", params={"to": text}).status_code == 400
    assert Suppression.select().count() == 0


@pytest.mark.parametrize("form", ["0555 444 33 01", "(0555) 444-33-01", "5554443301", "+90 555 444 33 01"])
def test_national_numbers_are_read_wherever_a_country_is_set(client: Client, form: str) -> None:
    client.settings.default_country = "TR"
    assert client.post("/v1/suppressions", {"to": [form, 5554443302]}).json["added"] == 2
    assert accepted(client, form).status_code == 202
    for listing in ("suppressions", "contacts"):
        [found] = client.get(f"/v1/{listing}", params={"to": form}).json["data"]
        assert found["to"] == "+905554443301"
    assert client.call("DELETE", f"/v1/suppressions/{quote(form, safe='')}").status_code == 204
    assert upkeep.erase(form, NOW, "TR")["contacts"] == 1


def accepted(client: Client, to: Any) -> Any:
    document = {
        "channel": CHANNEL,
        "template": {"name": "hello_world", "language": "tr"},
        "recipients": [{"to": to}],
    }
    return client.post("/v1/broadcasts", document)


def test_whole_numbers_are_taken_as_their_digits(client: Client) -> None:
    document = request_of(1)
    document["recipients"] = [{"to": 905554443301, "variables": ["Ana", 5, "10:00", 7]}]
    assert client.post("/v1/broadcasts", document).status_code == 202
    row = Message.get()
    assert row.recipient == "+905554443301"
    assert '"text":"5"' in row.content
    for odd in (True, 1.5, None):
        assert accepted(client, odd).status_code == 400


def test_national_numbers_are_read_where_a_country_is_set(client: Client) -> None:
    assert accepted(client, "0555 444 33 01").status_code == 400
    client.settings.default_country = "TR"
    assert accepted(client, "0555 444 33 01").status_code == 202
    assert Message.get().recipient == "+905554443301"


def test_the_setting_takes_a_country_that_has_numbers() -> None:
    assert Settings(default_country="tr").default_country == "TR"
    with pytest.raises(ValueError, match="UK"):
        Settings(default_country="UK")


def test_the_column_is_chosen_by_name_and_by_content() -> None:
    rows = recipients_csv.read(b"Birthday,1,Cell\n15.06.2025,Ana,905554443301\n").recipients
    assert rows[0]["to"] == "905554443301"


def test_a_contact_shows_every_name_the_opt_out_and_the_last_messages(client: Client) -> None:
    accepted(client, "+525512345678")
    people.join([("+525512345678", "MX.2222")])
    client.post("/v1/suppressions", {"to": ["MX.2222"], "reason": "asked"})
    [row] = client.get("/v1/contacts", params={"to": "+5215512345678"}).json["data"]
    found = client.get(f"/v1/contacts/{row['id']}").json
    assert found["names"] == ["+5215512345678", "+525512345678", "MX.2222"]
    assert found["suppressed"]["reason"] == "asked"
    assert (found["conversations"], found["lastMessages"]) == ([], [])
    assert client.get("/v1/suppressions", params={"to": "+5215512345678"}).json["data"] != []
    assert client.call("DELETE", "/v1/suppressions/+5215512345678").status_code == 204
