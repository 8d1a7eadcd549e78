"""What every face needs of a request: its token, its body, its query; and what refusals are made of."""

import hashlib
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import falcon
from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError

from broadcaster.config import Settings
from broadcaster.domain import strict_json, timestamps
from broadcaster.errors import (
    BroadcasterError,
    Busy,
    Faults,
    Forbidden,
    Invalid,
    KeyReused,
    Malformed,
    NotFound,
    Unauthorized,
)
from broadcaster.services import access, planning, submit
from broadcaster.services.progress import Progress
from broadcaster.services.specs import Recipient, Spec
from broadcaster.services.submit import Accepted, Once
from broadcaster.store import database
from broadcaster.store.writer import Writer
from broadcaster.vault import Vault
from broadcaster.worker.schedule import Schedule

MOST_FAULTS = 10_000
MOST_VALUES = 1000
"""Entries of one object or list within a recipient; far above what any template takes."""
LARGEST_BODY = 10 * 1024 * 1024
PROBLEM_TYPE = "application/problem+json"

_WORDS = {
    "missing": "is required",
    "extra_forbidden": "is not a field here",
    "string_type": "must be a text",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}
_SHOULD = re.compile(r"^(Input|String|List|Dictionary) should")

_STATUS: dict[type[BroadcasterError], int] = {
    Invalid: 400,
    Malformed: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    KeyReused: 422,
    Busy: 503,
}
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True)
class Context:
    """What the faces are given to work with."""

    settings: Settings
    schedule: Schedule
    vault: Vault
    writer: Writer | None = None

    def gather(self, function: Callable[[list[Any]], None], row: Any) -> None:
        """Have the function take the row, with all others that wait, and return once it is durable."""
        if self.writer:
            self.writer.gather(function, row).result()
            return
        with database.transaction():
            function([row])


class TooLarge(BroadcasterError):
    """The body exceeds what is read."""


class WrongType(BroadcasterError):
    """The body is not declared as JSON."""


_STATUS |= {TooLarge: 413, WrongType: 415}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not carried out, for the face it came to; `cause` if an error of ours said so."""

    status: int
    detail: str
    faults: Faults | None = None
    cause: BroadcasterError | None = None


def caller(request: falcon.Request, now: int, *scopes: str) -> access.Caller:
    """The holder of the request's token; raises Unauthorized, and Forbidden without any of the scopes."""
    found = access.authenticate(_presented(request), now)
    found.require(*scopes)
    return found


def authenticated(request: falcon.Request, now: int) -> access.Caller:
    """The holder of the request's token, whatever it may do; raises Unauthorized."""
    return access.authenticate(_presented(request), now)


def body(request: falcon.Request) -> bytes:
    """The raw body; raises WrongType unless it is declared as JSON, TooLarge over 10 MB."""
    declared = (request.content_type or "").partition(";")[0].strip().lower()
    if declared != "application/json":
        raise WrongType(f'send the body as Content-Type: application/json, not "{declared[:60]}"')
    if (request.content_length or 0) > LARGEST_BODY:
        raise TooLarge(f"the body has {request.content_length} bytes; at most {LARGEST_BODY} are read")
    return request.bounded_stream.read()


def json_object(raw: bytes, faults: Faults) -> dict[str, Any]:
    """The JSON object of a body; raises Malformed. Duplicate keys and bad characters become faults."""
    document = strict_json.loads(raw, faults)
    if not isinstance(document, dict):
        raise Malformed("the body must be a JSON object")
    return document


Shape = TypeVar("Shape", bound=BaseModel)
Word = TypeVar("Word", bound=str)


def few(value: Any) -> Any:
    """Refuse an object or list with more entries than anyone needs before each is looked at."""
    if isinstance(value, dict | list) and len(value) > MOST_VALUES:
        raise ValueError(f"must have at most {MOST_VALUES} entries, has {len(value)}")
    return value


Texts = Annotated[dict[str, str], BeforeValidator(few)]
Objects = Annotated[list[dict[str, Any]], BeforeValidator(few)]


def envelope(model: type[Shape], document: dict[str, Any], faults: Faults) -> Shape:
    """The document as this model. Fields that cannot be read are faults and None, so that the rest
    can still be checked."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        add_faults(error, "", faults)
        bad = {fault["loc"][0] for fault in error.errors()}
    values: dict[str, Any] = dict.fromkeys(name for name in model.model_fields if name in bad)
    for name in document.keys() & (model.model_fields.keys() - bad):
        kind: Any = model.model_fields[name].annotation
        values[name] = TypeAdapter(kind).validate_python(document[name])
    return model.model_construct(**values)


def shaped(model: type[Shape], value: Any, where: str, faults: Faults) -> Shape | None:
    """The value as this model, or None and its faults, told by their places under `where`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        add_faults(error, where, faults)
        return None


def valid(model: type[Shape], document: dict[str, Any], faults: Faults) -> Shape:
    """The document as this model; raises Invalid with these faults and its own."""
    shape = shaped(model, document, "", faults)
    if shape is None or faults:
        raise Invalid(faults)
    return shape


def entries(
    given: list[Any] | None, where: str, read: Callable[[str, Any, Faults], Recipient], faults: Faults
) -> list[Recipient] | None:
    """Each recipient of a request, read by itself so that one bad entry does not hide others' faults."""
    if given is None:
        return None
    if len(given) > planning.MOST_RECIPIENTS:
        # Too many to look at each; planning says so.
        return [Recipient("")] * len(given)
    recipients = []
    for i, entry in enumerate(given):
        if faults.count > MOST_FAULTS:
            # Nobody mends ten thousand faults by a list; the rest is not looked at.
            break
        recipients.append(read(f"{where}[{i}]", entry, faults))
    return recipients


def accept(
    context: Context,
    request: falcon.Request,
    caller: access.Caller,
    read: Callable[[dict[str, Any], Faults], Spec],
    render: Callable[[Progress], str],
    now: int,
    public_id: str | None = None,
) -> Accepted:
    """Store the broadcast that the body, read by `read`, asks for, once if the caller says so.

    Raises Invalid, Malformed, KeyReused, WrongType, TooLarge.
    """
    raw, faults = body(request), Faults()
    wish = once(request, caller.token_id, raw, faults)
    if faults:
        raise Invalid(faults)
    first = submit.replay(wish) if wish else None
    if first is not None:
        return first
    plan = planning.plan(read(json_object(raw, faults), faults), faults, now)
    return submit.submit(plan, context.schedule, render, now, caller.token_id, wish, public_id)


def time_of(text: str | None, where: str, faults: Faults) -> int | None:
    """An RFC 3339 time as epoch milliseconds."""
    if text is None:
        return None
    try:
        return timestamps.parse_time(text)
    except ValueError as error:
        faults.add(where, str(error))
        return None


def add_faults(error: ValidationError, where: str, faults: Faults) -> None:
    """pydantic's errors in our words, with the path as the request writes it."""
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        path = where
        for part in fault["loc"]:
            path = f"{path}[{part}]" if isinstance(part, int) else strict_json.under(path, str(part))
        message = _WORDS.get(fault["type"]) or _SHOULD.sub("must", fault["msg"].removeprefix("Value error, "))
        faults.add(path, message[0].lower() + message[1:])


def check_depth(where: str, value: Any, most: int, faults: Faults) -> None:
    if strict_json.depth(value) > most:
        faults.add(where, f"is nested more than {most} levels deep")


def once(request: falcon.Request, token_id: str, raw: bytes, faults: Faults) -> Once | None:
    """The caller's wish that this very request be carried out once, from its Idempotency-Key."""
    key = request.get_header("Idempotency-Key")
    if key is None:
        return None
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        faults.add("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
        return None
    call = f"{request.method} {request.path.rstrip('/')}\n".encode()
    return Once(token_id, key, hashlib.sha256(call + raw).hexdigest())


class Query:
    """The query of a request, with every fault collected; `check` raises them."""

    def __init__(self, request: falcon.Request, allowed: Collection[str]):
        self.faults = Faults()
        self._given: dict[str, str] = {}
        for name, value in request.params.items():
            if name not in allowed:
                self.faults.add(name, f"is not a parameter here; there are {', '.join(sorted(allowed))}")
            elif isinstance(value, list):
                self.faults.add(name, "is given more than once")
            else:
                self._given[name] = value

    def text(self, name: str) -> str | None:
        return self._given.get(name)

    def one_of(self, name: str, choices: Collection[Word]) -> Word | None:
        """The choice of this name, None where none is given; another word is a fault."""
        value = self._given.get(name)
        chosen = next((choice for choice in choices if choice == value), None)
        if value is not None and chosen is None:
            self.faults.add(name, f"must be one of {', '.join(choices)}")
        return chosen

    def integer(self, name: str, default: int | None, least: int, most: int) -> Any:
        value = self._given.get(name)
        if value is None:
            return default
        is_number = value.isascii() and value.isdecimal() and len(value) < 20
        if not (is_number and least <= int(value) <= most):
            self.faults.add(name, f"must be a whole number from {least} to {most}")
            return default
        return int(value)

    def flag(self, name: str) -> bool:
        return self.one_of(name, ("true", "false")) == "true"

    def check(self) -> None:
        """Raises Invalid if anything was wrong."""
        if self.faults:
            raise Invalid(self.faults)


def answer(response: falcon.Response, document: Any, status: int = 200) -> None:
    response.status = status
    response.content_type = "application/json"
    response.text = document if isinstance(document, str) else strict_json.dumps(document)


def status_of(error: BroadcasterError) -> int:
    return _STATUS.get(type(error), 500)


def problem(refusal: Refusal) -> dict[str, Any]:
    """An RFC 9457 problem; faults name their fields, at most 100 are shown and all are counted."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(refusal.status, "Error"),
        "status": refusal.status,
        "detail": refusal.detail,
    }
    if refusal.faults is not None:
        document["errors"] = shown(refusal.faults)
        document["errorCount"] = refusal.faults.count
    return document


def shown(faults: Faults) -> list[dict[str, str]]:
    return [{"field": fault.field, "message": fault.message} for fault in faults.shown]


def _presented(request: falcon.Request) -> str | None:
    scheme, _, token = (request.auth or "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.get_header("X-API-Key")
