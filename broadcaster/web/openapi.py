"""The document at /openapi.json and the page made of it: every operation of all four APIs, from the models
that check their requests."""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import falcon
from pydantic import BaseModel

from broadcaster import __version__
from broadcaster.domain import strict_json
from broadcaster.web import dialects, requests
from broadcaster.web.dashboard import render
from broadcaster.web.description import Face, Operation, Parameter, Text
from broadcaster.web.own.description import FACE

FACES: tuple[Face, ...] = (FACE, *(dialect.FACE for dialect in dialects.ALL))
_WHAT = {
    400: "The request is not right; every fault is named.",
    401: "No token, or one that is not good.",
    403: "The token lacks the scope.",
    404: "There is no such thing.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "The Idempotency-Key was used for another request.",
    503: "Not at the moment; try again.",
    504: "Meta's answer did not come; the message may have left.",
}


def add_routes(app: falcon.App, context: requests.Context) -> None:
    document = _Document(context)
    app.add_route("/openapi.json", OpenApi(document))
    app.add_route("/docs", Docs(document))


class _Document:
    """Made once, when it is first asked for."""

    def __init__(self, context: requests.Context):
        self._context = context

    @cached_property
    def content(self) -> dict[str, Any]:
        return document(self._context.settings.public_url)

    @cached_property
    def text(self) -> str:
        return strict_json.dumps(self.content)


class OpenApi:
    def __init__(self, document: _Document):
        self._document = document

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        requests.answer(response, self._document.text)


class Docs:
    def __init__(self, document: _Document):
        self._document = document

    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        render.page(response, "docs.html", session=None, d=self._document.content)


def document(public_url: str | None = None) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for face in FACES:
        for operation in face.operations:
            paths.setdefault(operation.path, {})[operation.method] = _operation(face, operation, schemas)
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "broadcaster",
            "version": __version__,
            "description": "WhatsApp broadcasts: our own API, and three vendors' beside it.",
        },
        "tags": [{"name": face.title} for face in FACES],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }
    if public_url:
        found["servers"] = [{"url": public_url.rstrip("/")}]
    return found


def _operation(face: Face, operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "tags": [face.title],
        "summary": operation.summary,
        "operationId": re.sub(r"\W+", "_", f"{operation.method}{operation.path}").strip("_"),
        "parameters": list(_parameters(operation)),
        "responses": {
            **{str(status): _answer(status, sample) for status, sample in operation.answers.items()},
            **{str(status): _refusal(face, status) for status in sorted(operation.errors)},
        },
    }
    if operation.scopes:
        shown["description"] = f"Scope: {' or '.join(operation.scopes)}."
    if 401 in operation.errors and not operation.path.startswith("/callbacks"):
        shown["security"] = [{"bearer": []}, {"key": []}]
    if operation.body:
        content = {"schema": _schema(face, operation, schemas), "example": operation.sample}
        shown["requestBody"] = {"required": True, "content": {"application/json": content}}
    return shown


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    for place, parameters in (("query", operation.query), ("header", operation.headers)):
        for parameter in parameters:
            yield _parameter(place, parameter)


def _parameter(place: str, parameter: Parameter) -> dict[str, Any]:
    shown = {"name": parameter.name, "in": place, "required": False, "schema": dict(parameter.schema)}
    return shown | {"description": parameter.text} if parameter.text else shown


def _schema(face: Face, operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    """A reference to the schema of a body; it and all it needs are among the schemas from here on."""
    assert operation.body
    name = _keep(face, operation.body, schemas)
    if operation.entries:
        of, model = operation.entries
        items = {"$ref": f"#/components/schemas/{_keep(face, model, schemas)}"}
        schemas[name]["properties"][of] = {"type": "array", "minItems": 1, "maxItems": 5000, "items": items}
    return {"$ref": f"#/components/schemas/{name}"}


def _keep(face: Face, model: type[BaseModel], schemas: dict[str, Any]) -> str:
    """The name of a model's schema; it and those it needs are among the schemas from here on."""
    prefix = face.title.capitalize()
    found = model.model_json_schema(ref_template=f"#/components/schemas/{prefix}{{model}}")
    # Some models are private to their face; their underscore is nobody else's business.
    found = strict_json.loads(strict_json.dumps(found).replace(f"/{prefix}_", f"/{prefix}").encode())
    for inner, schema in found.pop("$defs", {}).items():
        schemas.setdefault(prefix + inner.lstrip("_"), schema)
    name = prefix + model.__name__.lstrip("_")
    schemas.setdefault(name, found)
    return name


def _answer(status: int, sample: Any) -> dict[str, Any]:
    samples = sample if isinstance(sample, tuple) else (sample,)
    content = dict(_content(one) for one in samples if one is not None)
    shown: dict[str, Any] = {"description": "Done." if status < 300 else _WHAT[status]}
    return shown | {"content": content} if content else shown


def _content(sample: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(sample, Text):
        return sample.type, {"schema": {"type": "string"}, "example": sample.sample}
    return "application/json", {"schema": _shape(sample), "example": sample}


def _refusal(face: Face, status: int) -> dict[str, Any]:
    content = {"schema": _shape(face.refusal), "example": face.refusal}
    shown: dict[str, Any] = {"description": _WHAT[status], "content": {face.refusal_type: content}}
    if status == 503:
        shown["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return shown


def _shape(sample: Any, inner: bool = False) -> dict[str, Any]:
    """What a sample is an example of; values inside may be missing."""
    if isinstance(sample, dict):
        kind, more = "object", {"properties": {name: _shape(value, True) for name, value in sample.items()}}
    elif isinstance(sample, list):
        kind, more = "array", {"items": _shape(sample[0], True) if sample else {}}
    elif isinstance(sample, bool):
        kind, more = "boolean", {}
    elif isinstance(sample, int | float):
        kind, more = "number", {}
    elif isinstance(sample, str):
        kind, more = "string", {}
    else:
        return {}
    return {"type": [kind, "null"] if inner else kind, **more}
