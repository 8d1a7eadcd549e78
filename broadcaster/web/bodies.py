"""Bodies of requests, and how all of their faults are told at once."""

import re
from collections.abc import Callable
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar, get_args

import falcon
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic.annotated_handlers import GetCoreSchemaHandler
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from broadcaster.domain import phone, strict_json, timestamps
from broadcaster.errors import Faults, Invalid, Malformed
from broadcaster.services import planning
from broadcaster.services.specs import Recipient
from broadcaster.web.large_bodies import wait_for_turn
from broadcaster.web.refusals import TooLarge, WrongType

MOST_FAULTS = 10_000
MOST_VALUES = 1000
"""Entries of one object or list within a recipient; far above what any template takes."""
LARGEST_BODY = 10 * 1024 * 1024
"""Bytes of a body that brings recipients."""
LARGEST_SHORT_BODY = 64 * 1024
"""Bytes of any other."""

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


def _read_person(text: str, info: ValidationInfo) -> str:
    return phone.recipient(text, info.context)


Person = Annotated[str, AfterValidator(_read_person)]
"""Whoever a number or user id means; read, it is E.164 or the id. National numbers are from the country
that is the context of the check."""


class Shape(BaseModel):
    """An object of a request."""

    model_config = ConfigDict(strict=True)


class Envelope(Shape):
    """The outer object of a request, which is worth checking even if parts of it cannot be read.

    A field that cannot be read is None.
    """

    _unreadable: frozenset[str] = PrivateAttr(default=frozenset())

    def is_unreadable(self, *names: str) -> bool:
        """Whether one of these fields was given and could not be read."""
        return not self._unreadable.isdisjoint(names)


AnyModel = TypeVar("AnyModel", bound=BaseModel)
AnyEnvelope = TypeVar("AnyEnvelope", bound=Envelope)
Entry = TypeVar("Entry", bound=BaseModel)


class Entries(Generic[Entry]):
    """The recipients of a request, each read when its turn comes.

    So one that cannot be read hides no fault of another, and a recipient is gone before the next is read:
    5,000 kept at once make a nested request a fifth slower.
    """

    def __init__(self, model: type[Entry], given: list[Any]):
        self._model = model
        self._given = given

    def read(self, read: Callable[[str, Entry, Faults], Recipient], faults: Faults) -> list[Recipient]:
        """What `read` makes of each, given its place; what is unreadable stays as its place alone."""
        if len(self._given) > planning.MOST_RECIPIENTS:
            # Too many to look at each; planning says so.
            return [Recipient("")] * len(self._given)
        found = []
        for i, given in enumerate(self._given):
            if faults.count > MOST_FAULTS:
                # Nobody mends ten thousand faults by a list; the rest is not looked at.
                break
            where = f"recipients[{i}]"
            entry = shaped(self._model, given, where, faults)
            found.append(Recipient(where) if entry is None else read(where, entry, faults))
        return found

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        (model,) = get_args(source)
        described = Annotated[list[model], Field(min_length=1, max_length=planning.MOST_RECIPIENTS)]  # type: ignore[valid-type]

        def kept(value: Any) -> Entries[Any]:
            if not isinstance(value, list):
                raise PydanticCustomError("list_type", "must be a list")
            return cls(model, value)

        # Requests are checked as Python's objects, and described as JSON's.
        return core_schema.json_or_python_schema(
            handler.generate_schema(described), core_schema.no_info_plain_validator_function(kept)
        )


def few(value: Any) -> Any:
    """Refuse an object or list with more entries than anyone needs before each is looked at."""
    if isinstance(value, dict | list) and len(value) > MOST_VALUES:
        raise ValueError(f"must have at most {MOST_VALUES} entries, has {len(value)}")
    return value


Texts = Annotated[dict[str, str], BeforeValidator(few)]
Objects = Annotated[list[dict[str, Any]], BeforeValidator(few)]


def envelope(model: type[AnyEnvelope], document: dict[str, Any], faults: Faults) -> AnyEnvelope:
    """The document as this model; what cannot be read is a fault and None, so that the rest can still
    be checked."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        unreadable = frozenset(str(fault["loc"][0]) for fault in add_faults(error, "", faults))
    found: dict[str, Any] = dict.fromkeys(model.model_fields.keys() & unreadable)
    for name in document.keys() & (model.model_fields.keys() - unreadable):
        kind: Any = model.model_fields[name].annotation
        found[name] = TypeAdapter(kind).validate_python(document[name])
    shape = model.model_construct(**found)
    shape._unreadable = unreadable
    return shape


def shaped(
    model: type[AnyModel], value: Any, where: str, faults: Faults, country: str | None = None
) -> AnyModel | None:
    """The value as this model, or None and its faults, told by their places under `where`.

    `country` (ISO code) is where national numbers are from; without it they are refused.
    """
    try:
        return model.model_validate(value, context=country)
    except ValidationError as error:
        add_faults(error, where, faults)
        return None


def valid(model: type[AnyModel], document: Any, faults: Faults, country: str | None = None) -> AnyModel:
    """The document as this model, with national numbers from `country` (ISO code); raises Invalid with
    these faults and its own."""
    shape = shaped(model, document, "", faults, country)
    if shape is None or faults:
        raise Invalid(faults)
    return shape


def read_recipients(
    entries: Entries[Entry] | None, read: Callable[[str, Entry, Faults], Recipient], faults: Faults
) -> list[Recipient] | None:
    """What `read` makes of each entry; None where there is no list to read."""
    return None if entries is None else entries.read(read, faults)


def add_faults(error: ValidationError, where: str, faults: Faults) -> list[ErrorDetails]:
    """pydantic's errors in our words, with the path as the request writes it; returns them."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    for fault in found:
        path = where
        for part in fault["loc"]:
            path = f"{path}[{part}]" if isinstance(part, int) else strict_json.under(path, str(part))
        message = _WORDS.get(fault["type"]) or _SHOULD.sub("must", fault["msg"].removeprefix("Value error, "))
        faults.add(path, message[0].lower() + message[1:])
    return found


def time_of(text: str | None, where: str, faults: Faults) -> int | None:
    """An RFC 3339 time as epoch milliseconds."""
    if text is None:
        return None
    try:
        return timestamps.parse_time(text)
    except ValueError as error:
        faults.add(where, str(error))
        return None


def check_depth(where: str, value: Any, most: int, faults: Faults) -> None:
    if strict_json.depth(value) > most:
        faults.add(where, f"is nested more than {most} levels deep")


class Body(Generic[AnyEnvelope]):
    """The body of a call, not read before it is asked for."""

    def __init__(self, request: falcon.Request, model: type[AnyEnvelope], largest: int):
        """`largest`: bytes that are read."""
        self._request = request
        self._model = model
        self._largest = largest

    @cached_property
    def raw(self) -> bytes:
        """The bytes as they came; raises WrongType and TooLarge."""
        return body(self._request, self._largest)

    def read(self, faults: Faults) -> AnyEnvelope:
        """The body as its model; raises Malformed, WrongType and TooLarge, all else becomes faults."""
        return envelope(self._model, json_object(self.raw, faults), faults)


def body(request: falcon.Request, largest: int) -> bytes:
    """The raw body; raises WrongType unless it is declared as JSON, TooLarge over so many bytes, Busy."""
    declared = (request.content_type or "").partition(";")[0].strip().lower()
    if declared != "application/json":
        raise WrongType(f'send the body as Content-Type: application/json, not "{declared[:60]}"')
    if (request.content_length or 0) > largest:
        raise TooLarge(f"the body has {request.content_length} bytes; at most {largest} are read")
    wait_for_turn(request)
    return request.bounded_stream.read()


def json_object(raw: bytes, faults: Faults) -> dict[str, Any]:
    """The JSON object of a body; raises Malformed. Duplicate keys and bad characters become faults."""
    document = strict_json.loads(raw, faults)
    if not isinstance(document, dict):
        raise Malformed("the body must be a JSON object")
    return document
