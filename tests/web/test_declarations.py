"""An operation is declared once: what a declaration must say, and that answers are held against it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import falcon
import falcon.testing
import pytest
from typing_extensions import TypedDict

from broadcaster.config import Settings
from broadcaster.services import access
from broadcaster.web import openapi, operations
from broadcaster.web.bodies import Body, Envelope, Shape
from broadcaster.web.dialects import DIALECTS
from broadcaster.web.operations import Api, Call, Reply, Text
from broadcaster.web.own.operations import own
from broadcaster.web.own.refusals import PROBLEM_TYPE, Problem, refuse
from broadcaster.web.queries import Query, Whole
from broadcaster.web.requests import Context
from broadcaster.web.service import APIS
from tests.support.answers import AnswerCheck
from tests.support.client import Client
from tests.support.samples import NOW


class Answer(TypedDict):
    count: int


class Other(TypedDict):
    name: str


class Wish(Shape):
    count: int


class LongWish(Envelope):
    count: int


class Numbers(Query):
    number: Annotated[int, Whole(1, 9)] = 1


def fine(call: Call, name: str) -> Answer:
    """Something"""
    return {"count": 1}


def nameless(call: Call) -> Answer:
    """Something"""
    return {"count": 1}


def undocumented(call: Call, name: str) -> Answer:
    return {"count": 1}


def unanswered(call: Call, name: str):  # type: ignore[no-untyped-def]
    """Something"""


def reading(call: Call, name: str, body: Wish) -> Answer:
    """Something"""
    return {"count": body.count}


def refusing(call: Call, name: str) -> Answer | Reply[Problem]:
    """Something"""
    return {"count": 1}


def api(**options: Any) -> Api:
    return Api("Test", refuse, ".*", media=PROBLEM_TYPE, **options)


@pytest.mark.parametrize(
    ("function", "options", "told"),
    [
        (nameless, {}, "its path has"),
        (undocumented, {}, "docstring"),
        (unanswered, {}, "return type"),
        (fine, {"open": True}, "scopes"),
        (reading, {}, "example"),
        (reading, {"example": {"count": 1}, "once": True}, "read its body itself"),
        (fine, {"also": {201: Other}}, "does not return"),
        (refusing, {}, "raises what is refused"),
    ],
)
def test_a_declaration_that_says_too_little_fails(
    function: Callable[..., Any], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(TypeError, match=told):
        api().get("/things/{name}", "broadcasts:read", **options)(function)


def test_an_operation_anybody_may_call_says_so() -> None:
    with pytest.raises(TypeError, match="scopes"):
        api().get("/things/{name}")(fine)
    api().get("/things/{name}", open=True)(fine)


def test_a_path_and_method_are_declared_once() -> None:
    twice = api()
    twice.get("/things/{name}", open=True)(fine)
    twice.get("/things/{name}", open=True)(fine)
    with pytest.raises(TypeError, match="declared twice"):
        operations.add_routes(falcon.App(), [twice], Context(Settings(), None, None))  # type: ignore[arg-type]


def test_the_signature_says_what_is_documented() -> None:
    described = api(name="test", slashes=True)

    @described.post(
        "/things/{name}",
        "broadcasts:write",
        "messages:send",
        every=True,
        once=True,
        also={202: Other},
        errors=(504,),
        example={"count": 1},
    )
    def create_thing(
        call: Call, name: str, query: Numbers, body: Body[LongWish]
    ) -> Answer | Reply[Other] | Reply[Text]:
        """Make a thing

        It stays.
        """
        return {"count": body.read.__name__ and 1}

    found = openapi.document([described])["paths"]["/things/{name}/"]["post"]
    assert (found["operationId"], found["summary"]) == ("testCreateThing", "Make a thing")
    assert found["description"] == "It stays. Scope: broadcasts:write and messages:send."
    assert found["security"] == [{way: ["broadcasts:write", "messages:send"]} for way in ("bearer", "key")]
    assert [(one["name"], one["in"]) for one in found["parameters"]] == [
        ("name", "path"),
        ("number", "query"),
        ("Idempotency-Key", "header"),
    ]
    assert found["parameters"][1]["schema"] == {"type": "integer", "minimum": 1, "maximum": 9, "default": 1}
    statuses = ["200", "202", "400", "401", "403", "404", "413", "415", "422", "503", "504"]
    assert sorted(found["responses"]) == statuses
    assert set(found["responses"]["200"]["content"]) == {"application/json", "text/plain"}
    assert found["responses"]["202"]["content"]["application/json"]["schema"]["$ref"].endswith("/Other")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"count": 1}, None),
        ({"count": "1"}, "count"),
        ({}, "count"),
        ({"count": 1, "more": 2}, "more"),
        (Reply({"count": 1}, 201), "not declared"),
        (Reply({"title": "no problem"}, 404), "not declared"),
        (Text("1"), "text/plain"),
    ],
    ids=repr,
)
def test_an_answer_that_is_not_as_declared_is_seen(answer: Any, told: str | None) -> None:
    tried = api()

    @tried.get("/things/{name}", open=True)
    def get_thing(call: Call, name: str) -> Answer:
        """Something"""
        return answer  # type: ignore[no-any-return]

    app, check = falcon.App(), AnswerCheck()
    operations.add_routes(app, [tried], Context(Settings(), None, None))  # type: ignore[arg-type]
    app.add_middleware(check)
    falcon.testing.TestClient(app).simulate_get("/things/x")
    if told is None:
        check.check()
    else:
        with pytest.raises(AssertionError, match=told):
            check.check()


def test_a_caller_is_known_before_anything_is_read(client: Client) -> None:
    bad = {"method": "POST", "path": "/v1/broadcasts", "query_string": "x=1", "body": b"{"}
    assert client.call(**bad, token="nobody").status_code == 401
    weak = access.create_token("weak", ["broadcasts:read"], None, NOW)
    assert client.call(**bad, token=weak).status_code == 403
    assert client.call(**bad).status_code == 400


def test_a_dry_run_does_not_look_at_the_idempotency_key(client: Client) -> None:
    document = own.operations[0].example
    for _ in range(2):
        answer = client.post(
            "/v1/broadcasts",
            document | {"title": str(_)},
            params={"dryRun": "true"},
            headers={"Idempotency-Key": "\x7f"},
        )
        assert answer.status_code == 200


def test_every_api_is_in_the_document_under_its_title() -> None:
    assert [tag["name"] for tag in openapi.document(APIS)["tags"]] == [
        "broadcaster", "Mindo", "Keebai", "MonoChat", "service",
    ]  # fmt: skip


def test_every_folder_of_operations_is_in_the_list_and_they_are_alike() -> None:
    folders = {path.parent for path in Path(operations.__file__).parent.glob("*/operations.py")}
    assert {folder.name for folder in folders} == {"own", *(api.name for api in DIALECTS)}
    alike = {"__init__.py", "refusals.py", "bodies.py", "answers.py", "operations.py"}
    for folder in folders:
        assert alike <= {path.name for path in folder.glob("*.py")}, folder
