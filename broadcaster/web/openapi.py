"""The OpenAPI document, made of the operations as they are declared."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from broadcaster import __version__
from broadcaster.settlement.event_documents import EventType
from broadcaster.web.operations import Api, Operation, Text
from broadcaster.web.queries import Query

_REF = "#/components/schemas/"
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
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "description": "The same key with the same body is carried out once; the first answer comes again.",
}

Json = dict[str, Any]


def document(
    apis: Sequence[Api], events: Sequence[EventType[Any]] = (), public_url: str | None = None
) -> Json:
    """The OpenAPI 3.1 document of these APIs and of the events that webhooks are told."""
    schemas = _Schemas([operation for api in apis for operation in api.operations], events)
    paths: dict[str, Json] = {}
    for operation in (operation for api in apis for operation in api.operations):
        path = paths.setdefault(operation.documented_path, {})
        path[operation.method] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "broadcaster",
            "version": __version__,
            "description": "WhatsApp broadcasts: our own API, and three vendors' beside it.",
        },
        "servers": [{"url": (public_url or "/").rstrip("/") or "/"}],
        "tags": [{"name": api.title} for api in apis],
        "paths": paths,
        "webhooks": {event.type: {"post": _webhook(event)} for event in events},
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(operation: Operation, schemas: "_Schemas") -> Json:
    summary, _, more = (operation.function.__doc__ or "").strip().partition("\n")
    shown: Json = {
        "tags": [operation.api.title],
        "summary": summary.rstrip("."),
        "operationId": operation.id,
        "parameters": list(_parameters(operation, schemas)),
        "responses": {
            **{str(status): _answer(kinds, schemas) for status, kinds in operation.answers.items()},
            **{str(status): _refusal(operation, status, schemas) for status in sorted(operation.refusals)},
        },
    }
    if text := " ".join([*more.split(), *_told_scopes(operation)]):
        shown["description"] = text
    if not operation.open:
        shown["security"] = _security(operation)
    if operation.body:
        content = {"schema": schemas.of(operation.body), "example": operation.example}
        shown["requestBody"] = {"required": True, "content": {"application/json": content}}
    return shown


def _told_scopes(operation: Operation) -> Iterator[str]:
    if operation.scopes:
        yield f"Scope: {(' and ' if operation.every else ' or ').join(operation.scopes)}."


def _security(operation: Operation) -> list[Json]:
    """Either header, with all the scopes or any one of them."""
    any_one = [[scope] for scope in operation.scopes] or [[]]
    wanted = [list(operation.scopes)] if operation.every else any_one
    return [{header: scopes} for header in ("bearer", "key") for scopes in wanted]


def _parameters(operation: Operation, schemas: "_Schemas") -> Iterator[Json]:
    for name in operation.names:
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    yield from schemas.parameters(operation.query)
    if operation.once:
        yield _IDEMPOTENCY_KEY
    for name in operation.headers:
        yield {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}


def _answer(kinds: list[Any], schemas: "_Schemas") -> Json:
    shown: Json = {"description": "Done."}
    if kinds:
        shown["content"] = dict(_content(kind, schemas) for kind in kinds)
    return shown


def _content(kind: Any, schemas: "_Schemas") -> tuple[str, Json]:
    if isinstance(kind, type) and issubclass(kind, Text):
        return kind.media.partition(";")[0], {"schema": {"type": "string"}}
    return "application/json", {"schema": schemas.of(kind)}


def _refusal(operation: Operation, status: int, schemas: "_Schemas") -> Json:
    content = {operation.api.media: {"schema": schemas.of(operation.api.refusal)}}
    shown: Json = {"description": _WHAT[status], "content": content}
    if status == 503:
        shown["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return shown


def _webhook(event: EventType[Any]) -> Json:
    name = _event_name(event)
    content = {"application/json": {"schema": {"$ref": _REF + name}}}
    return {
        "operationId": name[0].lower() + name[1:],
        "summary": event.summary.rstrip("."),
        "requestBody": {"required": True, "content": content},
        "responses": {"2XX": {"description": "Taken; after any other answer it comes again."}},
    }


# Schemas


def _event_name(event: EventType[Any]) -> str:
    """broadcast.finished is a BroadcastFinishedEvent."""
    return "".join(word.capitalize() for word in event.type.split(".")) + "Event"


def _envelope(event: EventType[Any], data: Json) -> Json:
    properties = {
        "id": {"type": "string"},
        "type": {"type": "string", "const": event.type},
        "timestamp": {"type": "string", "format": "date-time"},
        "data": data,
    }
    return {
        "type": "object",
        "description": event.summary,
        "properties": properties,
        "required": list(properties),
    }


class _Named(GenerateJsonSchema):
    """Names fit for clients: a page of broadcasts is a BroadcastPage, and no field has a title."""

    def normalize_name(self, name: str) -> str:
        return super().normalize_name(re.sub(r"^(\w*?)(Page)\[(?:\1)?(\w+)\]$", r"\1\3\2", name))

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class _Schemas:
    """The schemas of all types that operations take and answer; those that have a name are components."""

    def __init__(self, operations: Sequence[Operation], events: Sequence[EventType[Any]]):
        told: list[tuple[Any, JsonSchemaMode]] = [(event.document, "serialization") for event in events]
        types = list(dict.fromkeys([*_types(operations), *told]))
        found, made = TypeAdapter.json_schemas(
            [(number, mode, TypeAdapter(kind)) for number, (kind, mode) in enumerate(types)],
            ref_template=_REF + "{model}",
            schema_generator=_Named,
        )
        self._schemas = {types[number][0]: schema for (number, _), schema in found.items()}
        envelopes = {_event_name(event): _envelope(event, self.of(event.document)) for event in events}
        self.components: dict[str, Json] = dict(sorted((made["$defs"] | envelopes).items()))
        for schema in self.components.values():
            schema.pop("title", None)
        # What a query takes is told as parameters, not as an object.
        queries = [kind for kind, _ in types if isinstance(kind, type) and issubclass(kind, Query)]
        self._queries = {kind: self.components.pop(self._name(kind)) for kind in queries}

    def of(self, kind: Any) -> Json:
        """The schema of a type: a reference to it, if it has a name."""
        found: Json = self._schemas[kind]
        return found

    def parameters(self, query: type[Query]) -> Iterator[Json]:
        """What a query takes, each parameter with its schema."""
        for name, schema in self._queries[query].get("properties", {}).items():
            shown = {"name": name, "in": "query", "required": False, "schema": _without_null(schema)}
            description = shown["schema"].pop("description", None)
            yield shown | ({"description": description} if description else {})

    def _name(self, kind: Any) -> str:
        return str(self._schemas[kind]["$ref"].removeprefix(_REF))


def _types(operations: Iterable[Operation]) -> Iterator[tuple[Any, JsonSchemaMode]]:
    for operation in operations:
        yield operation.query, "validation"
        yield operation.api.refusal, "serialization"
        if operation.body:
            yield operation.body, "validation"
        for kind in (kind for kinds in operation.answers.values() for kind in kinds):
            if not (isinstance(kind, type) and issubclass(kind, Text)):
                yield kind, "serialization"


def _without_null(schema: Json) -> Json:
    """The schema of a parameter, which may be left out but is never null."""
    shown = {key: value for key, value in schema.items() if (key, value) != ("default", None)}
    if "anyOf" not in shown:
        return shown
    only: list[Json] = [one for one in shown.pop("anyOf") if one != {"type": "null"}]
    return only[0] | shown
