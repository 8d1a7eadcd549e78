"""The document of all four APIs: it names every route, and its examples work."""

import json
import re
from typing import Any, get_args

import falcon.inspect
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from broadcaster.domain.words import BroadcastStatus
from broadcaster.services import access
from broadcaster.settlement import event_documents
from broadcaster.web.dashboard.pages import speaks
from broadcaster.web.service import document
from tests.support.answers import check_event
from tests.support.client import Client
from tests.support.samples import request_of

DOCUMENT = document(None)
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (path, method, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def test_it_is_an_openapi_document() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert [one for one in ids if not re.fullmatch("[a-z]+([A-Z][a-z]+)*", one)] == []


def test_its_schemas_have_names_of_their_own_and_no_titles() -> None:
    # Two types of one name would be told apart by __, one used both ways by -Input and -Output.
    assert [name for name in SCHEMAS if not re.fullmatch("[A-Z][A-Za-z]+", name)] == []
    assert '"title": "' not in json.dumps(SCHEMAS)
    for _, _, operation in OPERATIONS:
        for answer in operation["responses"].values():
            for media, content in answer.get("content", {}).items():
                is_open = operation["operationId"] == "getOpenapi"
                assert "$ref" in content["schema"] or not media.endswith("json") or is_open


def test_answers_say_what_is_always_there_and_of_which_kind() -> None:
    broadcast = SCHEMAS["Broadcast"]
    assert set(broadcast["required"]) == set(broadcast["properties"])
    assert broadcast["properties"]["createdAt"] == {"type": "string", "format": "date-time"}
    assert broadcast["properties"]["inFlight"] == {"type": "integer"}
    assert SCHEMAS["BroadcastStatus"]["enum"] == list(get_args(BroadcastStatus.__value__))
    assert SCHEMAS["Problem"]["required"] == ["type", "title", "status", "detail"]
    assert SCHEMAS["NewBroadcast"]["properties"]["recipients"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/NewRecipient"},
        "minItems": 1,
        "maxItems": 5000,
    }


def test_every_scope_opens_something_and_is_named_where_it_does() -> None:
    told = {
        scope
        for _, _, operation in OPERATIONS
        for way in operation.get("security", [])
        for scopes in way.values()
        for scope in scopes
    }
    assert told == set(access.SCOPES) - {"admin"}


def test_an_idempotency_key_is_described_as_it_is_taken(client: Client) -> None:
    operation = DOCUMENT["paths"]["/v1/broadcasts"]["post"]
    (header,) = [one for one in operation["parameters"] if one["name"] == "Idempotency-Key"]
    for key in ("a b", "k", "~!", "x" * 255, "", "x" * 256, "\x7f", "\u00e9"):
        schema = header["schema"]
        is_described = len(key) in range(schema["minLength"], schema["maxLength"] + 1)
        is_described = is_described and re.search(schema["pattern"], key) is not None
        answer = client.post("/v1/broadcasts", request_of(1), headers={"Idempotency-Key": key})
        assert (answer.status_code == 202) == is_described, key


def test_it_names_every_route_and_no_other(client: Client) -> None:
    app = client.app
    real = {
        (re.sub(r":[a-z]+}", "}", route.path).rstrip("/") or "/", method.method.lower())
        for route in falcon.inspect.inspect_routes(app)
        for method in route.methods
        if not method.internal and not speaks(route.path)
    }
    described = {(path.rstrip("/") or "/", method) for path, method, _ in OPERATIONS}
    assert real - {("/docs", "get")} == described - {("/docs", "get")}


def test_it_is_served_with_its_page_and_without_a_token(client: Client) -> None:
    answer = client.anonymous.simulate_get("/openapi.json")
    assert (answer.status_code, answer.json) == (200, DOCUMENT)
    page = client.anonymous.simulate_get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    for path, method, operation in OPERATIONS:
        assert f"{method.upper()} {path}" in page.text
        assert f'id="{operation["operationId"]}"' in page.text
    for name in DOCUMENT["components"]["schemas"]:
        assert f'id="{name}"' in page.text


def test_the_public_address_is_its_server() -> None:
    assert document("https://x.example/")["servers"] == [{"url": "https://x.example"}]
    assert DOCUMENT["servers"] == [{"url": "/"}]


def test_the_events_that_webhooks_are_told_are_in_it() -> None:
    assert set(DOCUMENT["webhooks"]) == {*event_documents.TYPES, event_documents.WEBHOOK_TEST.type}
    assert SCHEMAS["BroadcastFinishedEvent"]["required"] == ["id", "type", "timestamp", "data"]
    told = {
        "id": "evt_1",
        "type": "optout.changed",
        "timestamp": "2026-06-10T07:00:00.000Z",
        "data": {"to": "+905554443301", "suppressed": True, "reason": "STOP"},
    }
    check_event(told)
    for wrong in ({"id": 1}, {"timestamp": "now"}, {"type": "message.sent"}, {"data": {"to": "+90"}}):
        with pytest.raises(AssertionError):
            check_event(told | wrong)


POSTS = [(path, operation) for path, _, operation in OPERATIONS if "requestBody" in operation]


@pytest.mark.parametrize(("path", "operation"), POSTS, ids=[path for path, _ in POSTS])
def test_the_examples_of_requests_work(client: Client, path: str, operation: dict[str, Any]) -> None:
    document = dict(operation["requestBody"]["content"]["application/json"]["example"])
    if "bulkMessageId" in document:
        root = path.rpartition("/")[0]
        sending = DOCUMENT["paths"][f"{root}/send.js"]["post"]["requestBody"]["content"]["application/json"]
        document = client.post(f"{root.replace('{slug}', 'shop')}/send.js", sending["example"]).json
    if path.endswith("/send/"):
        # It answers once the message has left, and nobody sends here: what it asks for is enough.
        document["recipient_phone"] = "0911"
        assert "recipient_phone" in client.post(path, document).json["details"]
        return
    answer = client.post(path.replace("{slug}", "shop"), document)
    assert 200 <= answer.status_code < 300, answer.text
    assert str(answer.status_code) in operation["responses"]
