"""The requests of our own API, as pydantic models: what is checked without knowing anything."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from broadcaster import broadcasts, wire
from broadcaster.broadcasts import Recipient, Spec, TemplateRef
from broadcaster.errors import Faults

DEEPEST_VARIABLES = 8

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


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RecipientTemplate(_Shape):
    name: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    language: Annotated[str, Field(min_length=1, max_length=20)] | None = None


class RecipientShape(_Shape):
    to: Annotated[str, Field(max_length=200)]
    variables: Any = None
    template: RecipientTemplate | None = None
    metadata: dict[str, Any] | None = None


class TemplateShape(_Shape):
    name: Annotated[str, Field(min_length=1, max_length=512)]
    language: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    variables: Any = None


class BroadcastShape(_Shape):
    channel: Annotated[str, Field(min_length=1, max_length=100)]
    template: TemplateShape
    # Checked one by one in spec(), so that one bad entry does not hide the others' faults.
    recipients: list[Any]
    title: Annotated[str, Field(max_length=200)] | None = None
    scheduleAt: str | None = None
    priority: Literal["normal", "high"] = "normal"
    onDuplicate: Literal["drop", "reject", "allow"] = "drop"
    onInvalid: Literal["reject", "fail"] = "reject"
    metadata: dict[str, Any] | None = None


_recipient = TypeAdapter(RecipientShape)


def spec(document: dict[str, Any], faults: Faults) -> Spec:
    """The broadcast a document asks for. What cannot be read is left at its default and is a fault,
    so that the rest can still be checked."""
    shape = _envelope(document, faults)
    due_at = None
    if shape.scheduleAt is not None:
        try:
            due_at = wire.parse_time(shape.scheduleAt)
        except ValueError as error:
            faults.add("scheduleAt", str(error))
    _check_depth("metadata", shape.metadata, wire.MAX_DEPTH, faults)
    _check_depth("template.variables", shape.template.variables, DEEPEST_VARIABLES, faults)
    return Spec(
        channel=shape.channel,
        template=TemplateRef(shape.template.name, shape.template.language, shape.template.variables),
        recipients=_recipients(shape.recipients, faults),
        title=shape.title,
        due_at=due_at,
        priority=broadcasts.HIGH if shape.priority == "high" else broadcasts.NORMAL,
        on_duplicate=shape.onDuplicate,
        on_invalid=shape.onInvalid,
        metadata=shape.metadata,
    )


def _envelope(document: dict[str, Any], faults: Faults) -> BroadcastShape:
    try:
        return BroadcastShape.model_validate(document)
    except ValidationError as error:
        add_faults(error, "", faults)
        return _salvaged(document, {str(fault["loc"][0]) for fault in error.errors()})


def _salvaged(document: dict[str, Any], bad: set[str]) -> BroadcastShape:
    """The readable rest of a faulty document; unreadable parts are None for plan() to pass over."""
    good = {key: value for key, value in document.items() if key not in bad}
    template = good.pop("template", None)
    shape = BroadcastShape.model_construct(**{"channel": None, "recipients": None, **good})
    shape.template = (
        TemplateShape.model_validate(template) if template else TemplateShape.model_construct(name=None)
    )
    return shape


def _recipients(entries: list[Any] | None, faults: Faults) -> list[Recipient] | None:
    if entries is None:
        return None
    if len(entries) > broadcasts.MOST_RECIPIENTS:
        # Too many to look at each; plan() says so.
        return [Recipient("", "")] * len(entries)
    return [_one(f"recipients[{i}]", entry, faults) for i, entry in enumerate(entries)]


def _one(where: str, entry: Any, faults: Faults) -> Recipient:
    try:
        shape = _recipient.validate_python(entry)
    except ValidationError as error:
        add_faults(error, where, faults)
        return Recipient(where, to=None)
    if shape.metadata is not None:
        _check_depth(f"{where}.metadata", shape.metadata, wire.MAX_DEPTH, faults)
    if shape.variables is not None:
        _check_depth(f"{where}.variables", shape.variables, DEEPEST_VARIABLES, faults)
    template = TemplateRef(shape.template.name, shape.template.language) if shape.template else None
    return Recipient(where, shape.to, shape.variables, template, shape.metadata)


def _check_depth(where: str, value: Any, most: int, faults: Faults) -> None:
    if wire.depth(value) > most:
        faults.add(where, f"is nested more than {most} levels deep")


def add_faults(error: ValidationError, where: str, faults: Faults) -> None:
    """pydantic's errors in our words, with the path as the request writes it."""
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        path = where
        for part in fault["loc"]:
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        message = _WORDS.get(fault["type"]) or _SHOULD.sub("must", fault["msg"])
        faults.add(path, message[0].lower() + message[1:])
