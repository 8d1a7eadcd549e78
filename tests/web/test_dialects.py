"""What the vendors' languages share: nothing but the core. Where they contradict, each has its way."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from broadcaster.domain import templates
from broadcaster.domain.variables import effective
from broadcaster.errors import Faults
from broadcaster.store.models import Message
from broadcaster.web import dialects
from broadcaster.web.bodies import envelope
from broadcaster.web.monochat import bodies
from tests.support.broadcasts import settle
from tests.support.client import Client
from tests.support.samples import CHANNEL
from tests.support.vendors import KEEBAI, MINDO, MONOCHAT, ask

PACKAGE = Path(dialects.__file__).parents[1]
WORDS = {
    "mindo": ("mindo", "bulk_send", "bulk-send", "send-bulk", "recipient_phone", "button_variables",
              "unique_recipients", "quota_info", "variables_used", "meta_message_id", "meta-templates"),
    "keebai": ("keebai", "kbai", "campaign_name", "meta_data", "INVALID_BROADCAST_ID"),
    "monochat": ("monochat", "bulkMessage", "channelUsername", "connectorBrand", "defaultPayload", "isMerge",
                 "languageCode", "templateName", "invalidRequest", "schema-error"),
}  # fmt: skip


def files_of(vendor: str) -> list[Path]:
    """A dialect is a file or a folder of its own."""
    return [path for path in (PACKAGE / "web").rglob("*.py") if vendor in (path.stem, path.parent.name)]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_vendor_word_outside_its_dialect(path: Path) -> None:
    if path == PACKAGE / "web" / "dialects.py":
        # The one list of them all.
        assert len(path.read_text().splitlines()) < 30
        return
    text = path.read_text().lower()
    for vendor, words in WORDS.items():
        if path not in files_of(vendor):
            assert [word for word in words if re.search(rf"(?<![a-z]){word.lower()}", text)] == []


def test_each_word_is_indeed_its_dialects() -> None:
    assert set(WORDS) == {api.name for api in dialects.DIALECTS}
    for vendor, words in WORDS.items():
        text = "".join(path.read_text() for path in files_of(vendor))
        assert [word for word in words if word.lower() not in text.lower()] == []


# Where they contradict each other


GOOD = {"order_id": "7", "status": "listo"}


@pytest.mark.parametrize(
    ("vendor", "status", "count"),
    [("mindo", 202, 1), ("keebai", 202, 2), ("monochat", 400, 0), ("own", 202, 1)],
)
def test_the_same_number_twice(client: Client, vendor: str, status: int, count: int) -> None:
    response = ask(client, vendor, [("905554443301", GOOD), ("905554443301", GOOD)])
    assert (response.status_code, Message.select().count()) == (status, count)


@pytest.mark.parametrize(
    ("vendor", "status", "states"),
    [
        ("mindo", 400, []),
        ("keebai", 202, ["pending", "failed", "pending"]),
        ("monochat", 400, []),
        ("own", 400, []),
    ],
)
def test_a_recipient_who_lacks_a_variable(
    client: Client, vendor: str, status: int, states: list[str]
) -> None:
    people = [(f"90555444330{i}", GOOD if i != 1 else {"order_id": "7"}) for i in range(3)]
    response = ask(client, vendor, people)
    assert response.status_code == status
    assert [row.state for row in Message.select().order_by(Message.id)] == states


@pytest.mark.parametrize(
    ("vendor", "form"),
    [
        ("mindo", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ("keebai", "[0-9a-f]{24}"),
        ("monochat", "[a-z0-9]{20}"),
    ],
)
def test_ids_have_the_vendors_shape_and_are_read_through_our_own_api(
    client: Client, vendor: str, form: str
) -> None:
    answer = ask(client, vendor, [("905554443301", GOOD)]).json
    public_id = answer.get("bulk_send_id") or answer.get("broadcast_id") or answer["bulkMessageId"]
    assert re.fullmatch(form, public_id)
    own = client.get(f"/v1/broadcasts/{public_id}")
    assert (own.status_code, own.json["id"], own.json["stats"]["total"]) == (200, public_id, 1)
    assert client.get("/v1/broadcasts").json["data"][0]["id"] == public_id
    assert client.get(f"/v1/broadcasts/{public_id}/messages").json["data"][0]["to"] == "+905554443301"


def test_a_later_receipt_that_says_failed(client: Client) -> None:
    people = [("905554443301", GOOD), ("905554443302", GOOD)]
    mindo = ask(client, "mindo", people).json["bulk_send_id"]
    keebai = ask(client, "keebai", people).json["broadcast_id"]
    monochat_id = ask(client, "monochat", people).json["bulkMessageId"]
    for public_id in (mindo, keebai, monochat_id):
        settle(public_id, ("sent", None), ("sent", "failed"))
    found = client.get(f"{MINDO}/bulk-sends/{mindo}/").json
    assert (found["status"], found["sent_count"], found["failed_count"]) == ("PARTIAL", 1, 1)
    found = client.get(f"{KEEBAI}/{keebai}").json
    assert (found["status"], found["sent"], found["failed"]) == ("COMPLETED", 1, 1)
    found = client.post(f"{MONOCHAT}/stats.js", {"bulkMessageId": monochat_id}).json
    assert (found["stats"]["success"], found["stats"]["failed"]) == (2, 0)
    found = client.get(f"/v1/broadcasts/{mindo}").json
    assert (found["stats"]["success"], found["stats"]["failed"], found["delivery"]["failed"]) == (2, 0, 1)


def test_no_dialect_sees_anothers_broadcasts(client: Client) -> None:
    people = [("905554443301", GOOD)]
    ids = [
        ask(client, "mindo", people).json["bulk_send_id"],
        ask(client, "keebai", people).json["broadcast_id"],
        ask(client, "monochat", people).json["bulkMessageId"],
    ]
    seen = [
        [public_id for public_id in ids if client.get(f"{MINDO}/bulk-sends/{public_id}/").status_code == 200],
        [public_id for public_id in ids if client.get(f"{KEEBAI}/{public_id}").status_code == 200],
        [
            public_id
            for public_id in ids
            if client.post(f"{MONOCHAT}/stats.js", {"bulkMessageId": public_id}).status_code == 200
        ],
    ]
    assert seen == [[public_id] for public_id in ids]


def test_a_request_with_a_key_is_carried_out_once(client: Client) -> None:
    for vendor, path in (("mindo", f"{MINDO}/send-bulk/"), ("keebai", KEEBAI)):
        body = {
            "phone_number_id": CHANNEL, "template_name": "parcel", "language": "es",
            "recipients": [{"phone": "+905554443301", "to": "+905554443301", "variables": GOOD}],
        }  # fmt: skip
        answers = [client.post(path, body, headers={"Idempotency-Key": vendor}) for _ in range(2)]
        assert answers[0].text == answers[1].text
        refused = client.post(path, body | {"x": 1}, headers={"Idempotency-Key": vendor})
        assert refused.status_code == 422
        assert "error" in refused.json
    assert Message.select().count() == 2


def test_a_key_belongs_to_its_call(client: Client) -> None:
    body = {
        "phone_number_id": CHANNEL, "template_name": "parcel", "language": "es",
        "channel": CHANNEL, "template": {"name": "parcel", "language": "es"},
        "recipients": [{"phone": "+905554443301", "to": "+905554443301", "variables": GOOD}],
    }  # fmt: skip
    key = {"Idempotency-Key": "same"}
    assert client.post(KEEBAI, body, headers=key).status_code == 202
    for path in ("/v1/broadcasts", f"{MINDO}/send-bulk/", f"{MONOCHAT}/send.js"):
        assert client.post(path, body, headers=key).status_code == 422
    assert client.post(f"{MINDO}/send-bulk/", body, headers={"Idempotency-Key": "slash"}).status_code == 202
    assert client.post(f"{MINDO}/send-bulk", body, headers={"Idempotency-Key": "slash"}).status_code == 202
    assert Message.select().count() == 2


def test_a_request_with_endless_faults_is_answered_soon(client: Client) -> None:
    spoilt = [{"phone": "+905554443301", "variables": {f"v{i}": 1 for i in range(900)}} for _ in range(200)]
    document = {"phone_number_id": CHANNEL, "template_name": "parcel", "recipients": spoilt}
    response = client.post(f"{MINDO}/send-bulk/", document)
    assert response.status_code == 400
    assert len(response.json["details"]) == 100


# Merging, against a plain reading of the vendor's page


def plain_merge(default: Any, own: Any) -> dict[str, Any]:
    """What is sent for one recipient: name, language and parameters by component."""
    result = {
        "name": own["template"].get("templateName", default["template"].get("templateName")),
        "language": own["template"].get("languageCode", default["template"].get("languageCode")),
        "variables": {},
    }
    for component in copy.deepcopy(default["template"].get("variables", [])):
        result["variables"][component["type"]] = component
    for component in own["template"].get("variables", []):
        below = result["variables"].get(component["type"], {})
        for key in component:
            both_named = isinstance(component[key], dict) and isinstance(below.get(key), dict)
            if both_named:
                for name in component[key]:
                    below[key][name] = component[key][name]
            else:
                below[key] = component[key]
        result["variables"][component["type"]] = below
    return result


VALUES = some.text("ab1", min_size=1, max_size=3)
PARAMETERS = some.one_of(
    some.lists(VALUES, max_size=3), some.dictionaries(some.sampled_from("123n"), VALUES, max_size=3)
)
PLAIN_COMPONENTS = some.lists(
    some.tuples(some.sampled_from(["HEADER", "BODY", "BUTTONS"]), PARAMETERS),
    max_size=3,
    unique_by=lambda pair: pair[0],
)
CARDS = some.lists(PLAIN_COMPONENTS, max_size=2)


@some.composite
def payloads(draw: Any, complete: bool) -> dict[str, Any]:
    def listed(pairs: Any) -> list[dict[str, Any]]:
        return [{"type": kind, "parameters": parameters} for kind, parameters in pairs]

    variables = listed(draw(PLAIN_COMPONENTS))
    if draw(some.booleans()):
        cards = [{"components": listed(card)} for card in draw(CARDS)]
        variables.append({"type": "CAROUSEL", "cards": cards})
    template: dict[str, Any] = {}
    if complete or draw(some.booleans()):
        template["templateName"] = draw(some.sampled_from(["one", "two"]))
    if draw(some.booleans()):
        template["languageCode"] = draw(some.sampled_from(["tr", "en"]))
    if variables or draw(some.booleans()):
        template["variables"] = variables
    return {"type": "template", "template": template}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads(complete=True), payloads(complete=True), some.sampled_from([True, False, None]),
       some.sampled_from([True, False, None]))  # fmt: skip
def test_merging_is_as_the_page_says(db: Any, default: Any, own: Any, by_default: Any, by_own: Any) -> None:
    default_word, own_word = default | {"isMerge": by_default}, {"isMerge": by_own}
    document = {
        "channelUsername": "15550101",
        "connectorBrand": "whatsapp",
        "defaultPayload": default_word,
        "recipients": [
            {"username": "905554443301", "payload": own, **own_word},
            {"username": "905554443302"},
        ],
    }
    merges = by_own if by_own is not None else bool(by_default)
    wanted = plain_merge(default, own) if merges else plain_merge({"template": {}}, own)
    assert read(document, 0) == wanted
    assert read(document, 1) == plain_merge(default, {"template": {}})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads(complete=True), payloads(complete=False))
def test_what_an_own_payload_leaves_out_is_inherited(db: Any, default: Any, own: Any) -> None:
    document = {
        "channelUsername": "15550101",
        "connectorBrand": "whatsapp",
        "defaultPayload": default | {"isMerge": True},
        "recipients": [{"username": "905554443301", "payload": {"template": own["template"]}}],
    }
    assert read(document, 0) == plain_merge(default, own)


def read(document: dict[str, Any], index: int) -> dict[str, Any]:
    """The same as plain_merge() tells, from the modules that do it."""
    faults = Faults()
    asked = envelope(bodies.MonoChatSend, document, faults)
    spec = bodies.send_spec("ws", asked, faults)
    assert not faults and spec.recipients
    recipient = spec.recipients[index]
    base = templates.parse_variables(spec.template.variables, "d", faults)
    own = templates.parse_variables(recipient.variables, "o", faults)
    ref, variables = effective(spec.template, base, recipient.template, own, recipient.inherits)
    assert not faults
    shown = {}
    for kind, value in variables.items():
        field = {"cards": unparsed(value)} if kind == "CAROUSEL" else {"parameters": value}
        shown[kind] = {"type": kind, **field}
    return {"name": ref.name, "language": ref.language, "variables": shown}


def unparsed(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"components": [{"type": kind, "parameters": value} for kind, value in card.items()]}
        for card in cards
    ]
