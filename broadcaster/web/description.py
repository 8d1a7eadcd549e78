"""What an API's face says of each of its operations, for the document at /openapi.json."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

ALWAYS = (401, 403, 503)
"""Of every operation that takes a token: no or a bad one, one without the scope, a locked database."""
OF_BODIES = (400, 413, 415)
IDEMPOTENT = (422,)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value of the query; `schema` is JSON Schema."""

    name: str
    schema: Mapping[str, Any]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is no JSON: its content type and a sample; no sample means no body."""

    type: str
    sample: str


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    `body` is the model that checks the request, `entries` names its list and the model of each entry.
    `answers` are the samples of what succeeds, by status; their shapes become schemas.
    """

    method: str
    path: str
    summary: str
    scopes: tuple[str, ...] = ()
    answers: Mapping[int, Any] = field(default_factory=dict)
    errors: tuple[int, ...] = ()
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    entries: tuple[str, type[BaseModel]] | None = None
    sample: Any = None


@dataclass(frozen=True)
class Face:
    """An API: its operations, and what it answers when it refuses."""

    title: str
    operations: tuple[Operation, ...]
    refusal: Any
    refusal_type: str = "application/json"


KEY = Parameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "The same key with the same body is carried out once; the first answer comes again.",
)


def integer(name: str, least: int, most: int, default: int | None = None, text: str = "") -> Parameter:
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Parameter(name, schema if default is None else schema | {"default": default}, text)


def choice(name: str, words: tuple[str, ...], text: str = "") -> Parameter:
    return Parameter(name, {"type": "string", "enum": list(words)}, text)
