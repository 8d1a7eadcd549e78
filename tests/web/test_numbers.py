"""Numbers are read alike wherever they come in: in all four APIs and in CSV."""

from typing import Any

import pytest

from broadcaster.config import Settings
from broadcaster.domain import phone
from broadcaster.services import recipients_csv
from broadcaster.store import people
from broadcaster.store.models import Message
from tests.support.client import Client
from tests.support.samples import CHANNEL, request_of
from tests.support.vendors import ask

GOOD = [
    ("+905554443301", "+905554443301"),
    ("+90 555 444 33 01", "+905554443301"),
    ("\u200e+90 555\u00a0444\u20113301", "+905554443301"),
    ("'+905554443301", "+905554443301"),
    ('="+905554443301"', "+905554443301"),
    ("tel:+905554443301", "+905554443301"),
    ("00905554443301", "+905554443301"),
    ("+5215512345678", "+525512345678"),
    ("+5531977770002", "+5531977770002"),
    ("TR.1349120865530274 ", "TR.1349120865530274"),
]
BAD = [
    "+62812345678.0", "919876543210,00", "9.05554E+11", "15.06.2025", "+90 4443301", "0555 444 33 01",
    "+905554443301 / +905554443302", "1719878400", "+0905554443301", "12:30", "abc", "",
]  # fmt: skip


def accepted(client: Client, to: Any) -> Any:
    document = {
        "channel": CHANNEL,
        "template": {"name": "hello_world", "language": "tr"},
        "recipients": [{"to": to}],
    }
    return client.post("/v1/broadcasts", document)


@pytest.mark.parametrize(("written", "read"), GOOD)
def test_good_forms_are_read_in_our_api_and_in_csv(client: Client, written: str, read: str) -> None:
    assert accepted(client, written).status_code == 202
    assert Message.get().recipient == read
    quoted = written.replace('"', '""')
    rows = recipients_csv.read(f'Name,to\nAna,"{quoted}"\n'.encode()).recipients
    assert phone.recipient(rows[0]["to"]) == read


@pytest.mark.parametrize("written", BAD)
def test_bad_forms_are_refused_in_our_api(client: Client, written: str) -> None:
    answer = accepted(client, written)
    assert answer.status_code == 400, answer.text
    assert answer.json["errors"][0]["field"] == "recipients[0].to"
    assert Message.select().count() == 0


@pytest.mark.parametrize("vendor", ["mindo", "keebai", "monochat"])
@pytest.mark.parametrize("digits", ["62812345678.0", "9.05554E+11", "90 4443301", "1719878400.00"])
def test_what_is_no_number_is_nobodys_in_any_language(client: Client, vendor: str, digits: str) -> None:
    ask(client, vendor, [(digits, {})])
    assert Message.select().where(Message.state == "pending").count() == 0


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
