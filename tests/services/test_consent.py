"""G9: whoever has opted out, under any name Meta knows them by, gets no marketing under any other."""

from collections.abc import Callable
from typing import Any

import pytest

from broadcaster.domain.decide import Claimed
from broadcaster.domain.verdicts import Reaction, Verdict
from broadcaster.services import upkeep
from broadcaster.settlement import outcomes
from broadcaster.settlement.outcomes import Answer
from broadcaster.store import channels, claims, database, installation, leases, people, suppressions
from broadcaster.store.claims import Ask, Terms
from broadcaster.store.models import Contact, ContactName, Conversation, Message, Suppression, Template
from tests.support.callbacks import callback, hear, status
from tests.support.client import Client
from tests.support.samples import CHANNEL, NOW

OURS, METAS, USER_ID, PARENT_ID = "+525512345678", "+5215512345678", "MX.2222", "MX.ENT.5551"
NAMES = (OURS, METAS, USER_ID, PARENT_ID)
SPEAKER = {"from": METAS[1:], "from_user_id": USER_ID, "from_parent_user_id": PARENT_ID, "id": "w"}
HELLO = {"name": "hello_world", "language": "tr"}
COUPON = [
    {"type": "HEADER", "parameters": ["10%"]},
    {"type": "BODY", "parameters": ["TEN", "May"]},
    {"type": "BUTTONS", "parameters": ["TEN10"]},
]
TEMPLATES = {"hello_world": HELLO, "coupon": {"name": "coupon"}}
SAID_AT = str(NOW // 1000)


def broadcast(client: Client, to: str, name: str = "hello_world", **query: str) -> Any:
    entry: dict[str, Any] = {"to": to}
    if name == "coupon":
        entry["variables"] = COUPON
    document = {"channel": CHANNEL, "template": TEMPLATES[name], "recipients": [entry]}
    answer = client.post("/v1/broadcasts", document, params=query)
    assert answer.status_code in (200, 202), answer.text
    return answer.json


def is_withheld(client: Client, to: str) -> bool:
    """Whether marketing to this name is withheld; a utility message always goes."""
    utility = broadcast(client, to, dryRun="true")
    assert (utility["valid"], utility["suppressed"]) == (1, 0)
    return bool(broadcast(client, to, "coupon", dryRun="true")["suppressed"])


@pytest.fixture
def known(client: Client) -> Client:
    """A person we wrote to, of whom Meta has told every name."""
    broadcast(client, OURS)
    hello = {**SPEAKER, "timestamp": SAID_AT, "type": "text", "text": {"body": "hello"}}
    hear(client.settings, callback(messages=[hello]))
    assert set(people.all_names(OURS)) == set(NAMES)
    assert not any(is_withheld(client, name) for name in NAMES)
    return client


def sent_message(client: Client, to: str) -> Message:
    """A message that Meta took over."""
    broadcast(client, to)
    row = Message.select().order_by(Message.id.desc()).get()
    facts = {"state": "sent", "wamid": f"wamid.{row.id}", "sent_at": NOW, "attempt": 1, "claimed_at": NOW}
    Message.update(facts).where(Message.id == row.id).execute()
    return Message.get_by_id(row.id)


def speaker(name: str) -> dict[str, str]:
    """What a webhook tells of somebody who is called by this one name."""
    if name.startswith("+"):
        return {"from": name[1:]}
    return {"from_parent_user_id" if ".ENT." in name else "from_user_id": name}


def by_text(client: Client, name: str) -> None:
    said = {**speaker(name), "id": "w", "timestamp": SAID_AT, "type": "text", "text": {"body": "Stop!"}}
    hear(client.settings, callback(messages=[said]))


def by_button(client: Client, name: str) -> None:
    button = {"payload": "Stop promotions", "text": "Stop promotions"}
    tapped = {**speaker(name), "id": "w", "timestamp": SAID_AT, "type": "button", "button": button}
    hear(client.settings, callback(messages=[tapped]))


def by_preference(client: Client, name: str) -> None:
    keys = {"from": "wa_id", "from_user_id": "user_id", "from_parent_user_id": "parent_user_id"}
    named = {keys[key]: value for key, value in speaker(name).items()}
    wish = {**named, "category": "marketing_messages", "value": "stop", "timestamp": NOW // 1000}
    hear(client.settings, callback(field="user_preferences", user_preferences=[wish]))


def by_hand(client: Client, name: str) -> None:
    assert client.post("/v1/suppressions", {"to": [name]}).json == {"added": 1, "known": 0}


def by_receipt(client: Client, name: str) -> None:
    row = sent_message(client, name)
    failed = status("failed", row.wamid, f"{installation.key()}.{row.id}.1", errors=[{"code": 131050}])
    hear(client.settings, callback(failed))


def by_answer(client: Client, name: str) -> None:
    broadcast(client, name)
    row = Message.select().order_by(Message.id.desc()).get()
    Message.update(state="sending", attempt=1, claimed_at=NOW).where(Message.id == row.id).execute()
    claimed = Claimed(row.id, 1, 0, row.broadcast_id, row.recipient, row.content, NOW)
    verdict = Verdict(Reaction.FAIL, "131050", "no marketing")
    channel = channels.find(CHANNEL)
    assert channel is not None
    with database.transaction():
        outcomes.settle([Answer(channel.id, "77", claimed, verdict, NOW)], NOW)


WAYS: list[Callable[[Client, str], None]] = [
    by_text, by_button, by_preference, by_hand, by_receipt, by_answer,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_an_opt_out_under_one_name_holds_under_every_name(
    known: Client, way: Callable[[Client, str], None], name: str
) -> None:
    way(known, name)
    assert [is_withheld(known, other) for other in NAMES] == [True] * len(NAMES)
    assert Suppression.select().count() == 1


@pytest.mark.parametrize("name", NAMES)
def test_what_is_lifted_under_one_name_is_lifted_under_all(known: Client, name: str) -> None:
    by_text(known, USER_ID)
    assert known.call("DELETE", f"/v1/suppressions/{name}").status_code == 204
    assert not any(is_withheld(known, other) for other in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_erased_under_one_name_is_erased_but_for_the_opt_out(known: Client, name: str) -> None:
    by_text(known, OURS)
    sent_message(known, USER_ID)
    with database.transaction():
        Message.update(state="cancelled").where(Message.state == "pending").execute()
    found = upkeep.erase(name, NOW)
    assert (found["messages"], found["contacts"], found["onTheirWay"]) == (2, 1, 0)
    assert {row.recipient for row in Message.select()} == {""}
    assert known.get("/v1/contacts").json["data"] == []
    assert all(suppressions.find(other) for other in NAMES)
    assert all(is_withheld(known, other) for other in NAMES)


# Rows of what happened to shops


def test_a_stop_with_a_user_id_beside_the_number_holds_for_the_user_id(client: Client) -> None:
    said = {"from": "905551110002", "from_user_id": "TR.2222", "type": "text", "text": {"body": "STOP"}}
    hear(client.settings, callback(messages=[said]))
    assert is_withheld(client, "TR.2222")
    assert is_withheld(client, "+905551110002")


def test_a_status_joins_what_a_later_stop_names_by_user_id_alone(client: Client) -> None:
    row = sent_message(client, "+905551110004")
    named = {"recipient_id": "905551110004", "recipient_user_id": "TR.4444"}
    hear(
        client.settings, callback(status("delivered", row.wamid, f"{installation.key()}.{row.id}.1", **named))
    )
    said = {"from_user_id": "TR.4444", "type": "text", "text": {"body": "STOP"}}
    hear(client.settings, callback(messages=[said]))
    assert is_withheld(client, "+905551110004")


def test_a_stop_holds_for_the_parent_id(client: Client) -> None:
    named = {"from_user_id": "TR.5550001", "from_parent_user_id": "TR.ENT.5550001"}
    hear(client.settings, callback(messages=[{**named, "type": "text", "text": {"body": "STOP"}}]))
    assert is_withheld(client, "TR.ENT.5550001")


def test_a_stranger_in_metas_spelling_is_known_in_ours(client: Client) -> None:
    by_text(client, "+5215522220000")
    assert is_withheld(client, "+525522220000")


def test_two_spellings_in_one_list_are_one_person(client: Client) -> None:
    entries = [{"to": "+5531977770002"}, {"to": "+553177770002"}]
    document = {"channel": CHANNEL, "template": HELLO, "recipients": entries}
    answer = client.post("/v1/broadcasts", document).json
    assert (answer["duplicates"], answer["stats"]["total"]) == (1, 1)


def claim_all(now: int) -> list[Claimed]:
    channel = channels.find(CHANNEL)
    assert channel is not None
    with database.transaction():
        leases.take(channel.id, "w", 80, [], now, now + 10_000)
        [found] = claims.claim([Ask(channel.id, "w", 100, 0, 80, Terms("77"))], now, now + 10_000)
    assert found is not None
    return found.messages


@pytest.mark.parametrize(("category", "goes"), [("MARKETING", False), ("UTILITY", True), (None, False)])
def test_consent_is_asked_for_the_template_the_message_carries(
    client: Client, category: str | None, goes: bool
) -> None:
    Template.update(category="UTILITY").execute()
    first, second = (
        {"to": "+905554440001"},
        {"to": "+905554440002", "template": {"name": "coupon", "language": "en"}},
    )
    second["variables"] = [  # type: ignore[assignment]
        {"type": "HEADER", "parameters": ["10%"]},
        {"type": "BODY", "parameters": ["TEN", "May"]},
        {"type": "BUTTONS", "parameters": ["TEN10"]},
    ]
    document = {
        "channel": CHANNEL,
        "template": HELLO,
        "recipients": [first, second],
        "scheduleAt": "2040-01-01T00:00:00Z",
    }
    assert client.post("/v1/broadcasts", document).json["stats"]["pending"] == 2
    by_preference(client, "+905554440002")
    by_preference(client, "+905554440001")
    # Meta may change a category while a broadcast waits: what counts is what it is at the claim.
    Template.update(category=category).where(Template.name == "coupon").execute()
    taken = {row.recipient for row in claim_all(2_300_000_000_000)}
    assert taken == ({"+905554440001", "+905554440002"} if goes else {"+905554440001"})
    assert Message.select().where(Message.error_code == "SUPPRESSED").count() == (not goes)


# Merging


def test_a_merge_loses_neither_opt_out_nor_conversation_nor_the_people_reached(client: Client) -> None:
    for name in ("+905554440001", "TR.7777"):
        row = sent_message(client, name)
        tag = f"{installation.key()}.{row.id}.1"
        Message.update(state="unknown", sent_at=None, wamid=None).where(Message.id == row.id).execute()
        hear(client.settings, callback(status("sent", f"wamid.{row.id}", tag, recipient_id="")))
    first, second = people.one("+905554440001"), people.one("TR.7777")
    assert first and second and first != second
    assert Conversation.select().count() == 2
    by_hand(client, "TR.7777")
    said = {"from": "905554440001", "from_user_id": "TR.7777", "type": "text", "text": {"body": "hi"}}
    hear(client.settings, callback(messages=[said]))
    assert people.one("TR.7777") == people.one("+905554440001") == first
    assert Conversation.select().count() == 1
    assert is_withheld(client, "+905554440001")
    assert client.get(f"/v1/contacts/ct_{second}").json["id"] == f"ct_{first}"
    assert ContactName.select().where(ContactName.contact_id == second).count() == 0
    assert Contact.select().where(Contact.id == second).count() == 0


def test_a_number_that_changed_hands_takes_its_opt_out_along_and_joins_nobody(client: Client) -> None:
    broadcast(client, "+905554440001")
    for user_id, word in (("TR.1111", "STOP"), ("TR.9999", "hello")):
        said = {"from": "905554440001", "from_user_id": user_id, "type": "text", "text": {"body": word}}
        hear(client.settings, callback(messages=[{**said, "timestamp": SAID_AT}]))
    assert people.one("TR.1111") != people.one("TR.9999")
    assert people.one("+905554440001") == people.one("TR.9999")
    assert is_withheld(client, "TR.1111") and is_withheld(client, "TR.9999")


def test_an_older_word_that_comes_later_changes_nothing(client: Client) -> None:
    held = []
    for value, at in (("stop", 100), ("resume", 99), ("resume", 100), ("signup", 101), ("stop", 100)):
        wish = {"wa_id": "905554440001", "category": "marketing_messages", "value": value, "timestamp": at}
        hear(client.settings, callback(field="user_preferences", user_preferences=[wish]))
        held.append(is_withheld(client, "+905554440001"))
    assert held == [True, True, True, False, False]


def test_an_opt_out_by_hand_outlives_an_older_consent(client: Client) -> None:
    by_hand(client, "+905554440001")
    wish = {"wa_id": "905554440001", "category": "marketing_messages", "value": "resume", "timestamp": 100}
    hear(client.settings, callback(field="user_preferences", user_preferences=[wish]))
    assert is_withheld(client, "+905554440001")


def test_an_authentication_template_does_not_go_to_a_user_id(client: Client) -> None:
    Template.update(category="AUTHENTICATION").where(Template.name == "hello_world").execute()
    document = {"channel": CHANNEL, "template": HELLO, "recipients": [{"to": "TR.2222"}]}
    answer = client.post("/v1/broadcasts", document)
    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"] == "recipients[0].to"


def test_the_plan_tells_the_countries_and_what_opts_out(client: Client) -> None:
    entries = [{"to": to} for to in ("+905554440001", "+905554440002", "+5511953334444")]
    document = {"channel": CHANNEL, "template": HELLO, "recipients": entries}
    plan = client.post("/v1/broadcasts?dryRun=true", document).json
    assert plan["countries"] == [{"country": "TR", "messages": 2}, {"country": "BR", "messages": 1}]
