"""What callbacks tell of people: their names, their wishes, what they said; and that no shape is too odd."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from broadcaster.domain.names import NOBODY, Names
from broadcaster.meta import payloads
from broadcaster.meta.payloads import Change, Preference, read

SECOND = 1_750_000_000
ANA = Names("+905551110002", "TR.2222", "TR.ENT.5551")


def callback(field: str = "messages", **value: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": "+1 555-078-3881", "phone_number_id": "1"}
    change = {"field": field, "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
    return {"object": "whatsapp_business_account", "entry": [{"id": "77", "changes": [change]}]}


def status(**names: Any) -> dict[str, Any]:
    return {"id": "wamid.1", "status": "delivered", "timestamp": str(SECOND), **names}


def text(body: str = "hello", **names: Any) -> dict[str, Any]:
    return {"id": "wamid.2", "timestamp": str(SECOND), "type": "text", "text": {"body": body}, **names}


def system(kind: str, told: dict[str, Any], **names: Any) -> dict[str, Any]:
    return {"id": "wamid.3", "type": "system", "system": {"type": kind, "body": "x", **told}, **names}


def wish(word: str, **row: Any) -> dict[str, Any]:
    return {"category": "marketing_messages", "value": word, "timestamp": SECOND, **row}


CONTACT = {"wa_id": "905551110002", "user_id": "TR.2222", "parent_user_id": "TR.ENT.5551"}
SENDER = {"from": "905551110002", "from_user_id": "TR.2222", "from_parent_user_id": "TR.ENT.5551"}
RECIPIENT = {
    "recipient_id": "905551110002",
    "recipient_user_id": "TR.2222",
    "recipient_parent_user_id": "TR.ENT.5551",
}


# Pairs


@pytest.mark.parametrize(
    "document",
    [
        callback(statuses=[status(**RECIPIENT)]),
        callback(statuses=[status()], contacts=[CONTACT]),
        callback(messages=[text(**SENDER)]),
        callback(messages=[text()], contacts=[CONTACT]),
        callback("user_preferences", user_preferences=[wish("stop", **CONTACT)]),
        callback("user_preferences", user_preferences=[wish("stop", wa_id="x")], contacts=[CONTACT]),
        callback("standby", messages=[text(**SENDER)]),
        callback("standby", standby={"statuses": [status(**RECIPIENT)]}),
        callback("standby", standby={"messages": [text()], "contacts": [CONTACT]}),
        callback("standby", standby={"messages": [text()]}, contacts=[CONTACT]),
        callback(statuses=[status(**RECIPIENT), status(**RECIPIENT)], contacts=[CONTACT]),
    ],
)
def test_names_in_one_object_are_a_pair_told_once(document: Any) -> None:
    assert read(document).pairs == [ANA]


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        ({"from": "905551110002", "from_user_id": "TR.2222"}, Names("+905551110002", "TR.2222")),
        (
            {"from": "905551110002", "from_parent_user_id": "TR.ENT.5551"},
            Names("+905551110002", None, "TR.ENT.5551"),
        ),
        (
            {"from_user_id": "TR.5550001", "from_parent_user_id": "TR.ENT.5550001"},
            Names(None, "TR.5550001", "TR.ENT.5550001"),
        ),
        (
            {"from": "", "from_user_id": "TR.a", "from_parent_user_id": "TR.ENT.b"},
            Names(None, "TR.a", "TR.ENT.b"),
        ),
    ],
)
def test_any_two_names_are_a_pair(names: dict[str, Any], pair: Names) -> None:
    assert read(callback(messages=[text(**names)])).pairs == [pair]


@pytest.mark.parametrize(
    "document",
    [
        callback(statuses=[status(recipient_id="905551110002")]),
        callback(messages=[text(**{"from": "905551110002"})], contacts=[{"user_id": "TR.2222"}]),
        callback(statuses=[status(recipient_id="905551110002")], contacts=[{"user_id": "TR.2222"}]),
        callback(statuses=[status(**RECIPIENT, recipient_type="group")], contacts=[CONTACT]),
        callback(messages=[text(**{**SENDER, "from": "15550783881"})]),
        callback(messages=[text()], contacts=[{**CONTACT, "wa_id": "15550783881"}]),
        callback("smb_message_echoes", message_echoes=[text(**SENDER)], contacts=[CONTACT]),
        callback("standby", standby={"message_echoes": [text(**SENDER)], "contacts": [CONTACT]}),
        callback("standby", standby={}),
        callback("security", contacts=[CONTACT], messages=[text(**SENDER)]),
        callback(contacts=[CONTACT]),
    ],
)
def test_nothing_is_learned_by_place_of_groups_or_of_echoes(document: Any) -> None:
    assert read(document).pairs == []


@pytest.mark.parametrize(
    "filler", ["0", "", " ", "unknown", "null", "+", "+0", 0, 905551110002, None, "1" * 30, "123"]
)
def test_a_filler_is_no_name(filler: Any) -> None:
    found = read(callback(messages=[text(**{"from": filler, "from_user_id": "TR.2222"})]))
    assert (found.pairs, found.inbound[0].names) == ([], Names(None, "TR.2222"))
    found = read(callback(messages=[text(**{"from": "905551110002", "from_user_id": filler})]))
    assert (found.pairs, found.inbound[0].names) == ([], Names("+905551110002"))


def test_a_user_id_in_the_place_of_the_number_is_the_persons_name() -> None:
    [said] = read(callback(messages=[text(**{"from": "TR.2222"})])).inbound
    assert (said.person, said.names) == ("TR.2222", Names(None, "TR.2222"))


def test_pairs_of_many_people_keep_their_order() -> None:
    many = [status(recipient_id=f"90555111{i:04d}", recipient_user_id=f"TR.{i}") for i in range(50)]
    expected = [Names(f"+90555111{i:04d}", f"TR.{i}") for i in range(50)]
    assert read(callback(statuses=many + many)).pairs == expected


def test_a_receipt_carries_what_meta_calls_the_recipient() -> None:
    def told(**names: Any) -> Names:
        return read(callback(statuses=[status(**names)])).receipts[0].names

    assert told(**RECIPIENT) == ANA
    assert told(recipient_id="5215512345678") == Names("+5215512345678")
    assert told(recipient_id="", recipient_user_id="TR.2222") == Names(None, "TR.2222")
    assert told(**RECIPIENT, recipient_type="group") == NOBODY


# Who said what


@pytest.mark.parametrize(
    ("names", "person"),
    [
        (SENDER, "+905551110002"),
        ({"from_user_id": "TR.4444"}, "TR.4444"),
        ({"from_user_id": "TR.5550001", "from_parent_user_id": "TR.ENT.5550001"}, "TR.5550001"),
        ({"from_parent_user_id": "TR.ENT.5550001"}, "TR.ENT.5550001"),
        ({"from": "+905551110002"}, "+905551110002"),
    ],
)
def test_a_message_names_its_person_by_whatever_name_there_is(names: dict[str, Any], person: str) -> None:
    [said] = read(callback(messages=[text("STOP", **names)])).inbound
    assert (said.person, said.said) == (person, ("STOP",))
    assert person in said.names.known
    [same] = read(callback("standby", standby={"messages": [text("STOP", **names)]})).inbound
    assert same == said


@pytest.mark.parametrize("field", ["wa_id", "user_id", "parent_user_id"])
def test_a_profiles_name_is_found_under_any_name(field: str) -> None:
    contacts = [{**CONTACT, "profile": {"name": "Ana"}}]
    own = {"wa_id": "from", "user_id": "from_user_id", "parent_user_id": "from_parent_user_id"}[field]
    message = text(**{own: CONTACT[field]})
    assert read(callback(messages=[message], contacts=contacts)).inbound[0].name == "Ana"


def test_the_label_of_a_button_is_known_from_its_payload() -> None:
    tapped = {"type": "button", "button": {"payload": "STOP_1", "text": "Stop promotions"}}
    chosen = {"type": "interactive", "interactive": {"list_reply": {"id": "7", "title": "Stop"}}}
    button, row = read(callback(messages=[{**SENDER, **tapped}, {**SENDER, **chosen}])).inbound
    assert (button.said, button.tapped) == (("STOP_1", "Stop promotions"), ("Stop promotions",))
    assert (row.said, row.tapped) == (("7", "Stop"), ("Stop",))
    assert read(callback(messages=[text("STOP", **SENDER)])).inbound[0].tapped == ()


def test_our_own_words_opt_nobody_out() -> None:
    assert read(callback(messages=[text("STOP", **{"from": "15550783881"})])).inbound == []


# Preferences


@pytest.mark.parametrize(
    ("word", "stops", "consents"),
    [("stop", True, False), ("resume", False, True), ("signup", False, True), ("perhaps", False, False)],
)
def test_a_preference_keeps_metas_word_and_time(word: str, stops: bool, consents: bool) -> None:
    found = read(callback("user_preferences", user_preferences=[wish(word, **CONTACT, signup_id="7")]))
    [told] = found.preferences
    assert told == Preference("+905551110002", word, SECOND * 1000, ANA)
    assert (told.stops, told.consents) == (stops, consents)


@pytest.mark.parametrize("stamp", [SECOND, str(SECOND), float(SECOND)])
def test_a_preferences_time_is_read_as_text_and_as_number(stamp: Any) -> None:
    document = callback(
        "user_preferences", user_preferences=[wish("stop", wa_id="905551110002", timestamp=stamp)]
    )
    assert read(document).preferences[0].at == SECOND * 1000


@pytest.mark.parametrize("stamp", [None, "soon", -1, 1e400, [], {}, SECOND * 1000])
def test_a_preference_without_a_time_still_counts(stamp: Any) -> None:
    document = callback("user_preferences", user_preferences=[wish("stop", user_id="TR.1", timestamp=stamp)])
    assert read(document).preferences == [Preference("TR.1", "stop", None, Names(None, "TR.1"))]


def test_preferences_come_in_metas_order_and_stop_wins_within_a_second() -> None:
    rows = [
        wish("stop", timestamp=SECOND - 1),
        wish("resume", timestamp=SECOND - 2),
        wish("stop"),
        wish("resume"),
    ]
    document = callback(
        "user_preferences", user_preferences=[row | {"wa_id": "905551110002"} for row in rows]
    )
    told = [(row.word, row.at) for row in read(document).preferences]
    then = SECOND * 1000
    assert told == [("resume", then - 2000), ("stop", then - 1000), ("resume", then), ("stop", then)]


def test_consent_to_something_else_is_none_to_marketing() -> None:
    rows = [wish(word, wa_id="905551110002", category="news") for word in ("resume", "signup", "stop")]
    assert [row.word for row in read(callback("user_preferences", user_preferences=rows)).preferences] == [
        "stop"
    ]


# Changes

NEW = {"wa_id": "905559990000", "user_id": "TR.3333", "parent_user_id": "TR.ENT.6"}
BEFORE = {"previous_user_id": "TR.2222", "previous_parent_user_id": "TR.ENT.5551"}
AFTER = Names("+905559990000", "TR.3333", "TR.ENT.6")


@pytest.mark.parametrize(
    ("message", "change"),
    [
        (
            system("user_changed_number", NEW | BEFORE, **{"from": "905551110002"}),
            Change("number", ANA, AFTER),
        ),
        (
            system("customer_changed_number", {"wa_id": "905559990000"}, **{"from": "905551110002"}),
            Change("number", Names("+905551110002"), Names("+905559990000")),
        ),
        (
            system("user_changed_number", {"new_wa_id": "905559990000", "customer": "905551110002"}),
            Change("number", Names("+905551110002"), Names("+905559990000")),
        ),
        (
            system("user_changed_number", NEW, **{"from": "905551110002", "from_user_id": "TR.3333"}),
            Change("number", Names("+905551110002"), AFTER),
        ),
        (
            system("user_changed_user_id", {"user_id": "TR.3333", "previous_user_id": "TR.2222"}),
            Change("user_id", Names(None, "TR.2222"), Names(None, "TR.3333")),
        ),
        (
            system("user_changed_user_id", {"user_id": "TR.3333"}, from_user_id="TR.2222"),
            Change("user_id", Names(None, "TR.2222"), Names(None, "TR.3333")),
        ),
        (
            system("user_changed_user_id", {"user_id": "TR.3333"}, **{"from": "905551110002"}),
            Change("user_id", Names("+905551110002"), Names(None, "TR.3333")),
        ),
    ],
)
def test_a_system_message_tells_the_old_names_and_the_new(message: dict[str, Any], change: Change) -> None:
    found = read(callback(messages=[message]))
    assert found == payloads.Callback(changes=[change])


@pytest.mark.parametrize(
    "message",
    [
        system("user_changed_number", {}, **SENDER),
        system("user_changed_number", {"wa_id": "905551110002"}, **{"from": "905551110002"}),
        system("user_changed_user_id", {"user_id": "TR.3333"}),
        system("user_changed_user_id", {"previous_user_id": "TR.2222"}),
        {**SENDER, "type": "system", "system": {"type": ["user_changed_number"]}},
        {**SENDER, "type": "system", "system": "user_changed_number"},
        system("user_identity_changed", {"wa_id": "905559990000"}, **SENDER),
    ],
)
def test_half_a_change_is_none(message: dict[str, Any]) -> None:
    assert read(callback(messages=[message])).changes == []


# Odd shapes

KEYS = [
    *SENDER, *RECIPIENT, *CONTACT, *NEW, *BEFORE, "new_wa_id", "customer", "recipient_type", "id", "status",
    "timestamp",
    "type", "text", "body", "button", "payload", "interactive", "button_reply", "list_reply", "title",
    "system", "value",
    "category", "profile", "name", "metadata", "display_phone_number", "contacts", "messages", "statuses",
    "standby",
    "user_preferences", "errors", "code", "error_data", "details", "pricing", "biz_opaque_callback_data",
]  # fmt: skip
FIELDS = ["messages", "standby", "user_preferences", "account_update", "message_template_status_update"]
SCALARS = (
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(some.characters(), max_size=9)
    | some.sampled_from([
        "905551110002", "TR.2222", "TR.ENT.1", "stop", "resume", "group", "sent", "failed",
        "user_changed_number",
        "user_changed_user_id", str(SECOND), "15550783881", "\ud83d",
    ])
)  # fmt: skip
VALUES = some.recursive(
    SCALARS,
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(some.sampled_from(KEYS), inner, max_size=6)
        | some.dictionaries(some.sampled_from(KEYS), inner, max_size=6).map(lambda one: [one])
    ),
    max_leaves=25,
)


@given(some.sampled_from(FIELDS), some.dictionaries(some.sampled_from(KEYS), VALUES, max_size=6))
@settings(max_examples=500, deadline=None)
def test_no_shape_is_too_odd(field: str, value: dict[str, Any]) -> None:
    found = read({"entry": [{"id": "77", "changes": [{"field": field, "value": value}]}]})
    assert all(pair.is_pair for pair in found.pairs)
    assert all(said.person == said.names.preferred for said in found.inbound)
    for change in found.changes:
        assert change.old.preferred and change.new.preferred


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_no_document_is_too_odd(document: Any) -> None:
    read(document)
    read({"entry": document})
    read({"entry": [{"changes": document}]})
