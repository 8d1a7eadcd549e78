"""The requests of our own API, as pydantic models: what is checked without knowing anything."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from broadcaster.domain import phone, strict_json
from broadcaster.domain.variables import TemplateRef
from broadcaster.errors import Faults, Invalid
from broadcaster.services import submit
from broadcaster.services.specs import Action, Recipient, Spec
from broadcaster.web import requests

DEEPEST_VARIABLES = 16
_PERSON = ("to", "userId", "sessionId")


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RecipientTemplate(_Shape):
    name: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    language: Annotated[str, Field(min_length=1, max_length=20)] | None = None


class RecipientShape(_Shape):
    to: Annotated[str, Field(max_length=200)] | None = None
    userId: Annotated[str, Field(max_length=200)] | None = None
    sessionId: Annotated[str, Field(max_length=200)] | None = None
    variables: Any = None
    template: RecipientTemplate | None = None
    metadata: dict[str, Any] | None = None


class TemplateShape(_Shape):
    name: Annotated[str, Field(min_length=1, max_length=512)]
    language: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    variables: Any = None


class ActionShape(_Shape):
    key: Literal["assign-to-user", "assign-to-workgroup"]
    value: Annotated[str, Field(min_length=1, max_length=200)]


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
    onUnknown: Literal["fail", "hold", "resend"] = "fail"
    expireAt: str | None = None
    action: ActionShape | None = None
    metadata: dict[str, Any] | None = None


def spec(document: dict[str, Any], faults: Faults) -> Spec:
    """The broadcast a document asks for. What cannot be read is left at its default and is a fault,
    so that the rest can still be checked."""
    shape = requests.envelope(BroadcastShape, document, faults)
    template = shape.template or TemplateShape.model_construct(name=None)
    requests.check_depth("metadata", shape.metadata, strict_json.MAX_DEPTH, faults)
    requests.check_depth("template.variables", template.variables, DEEPEST_VARIABLES, faults)
    return Spec(
        channel=shape.channel,
        template=TemplateRef(template.name, template.language, template.variables),
        recipients=requests.entries(shape.recipients, "recipients", _one, faults),
        title=shape.title,
        due_at=requests.time_of(shape.scheduleAt, "scheduleAt", faults),
        priority=submit.HIGH if shape.priority == "high" else submit.NORMAL,
        on_duplicate=shape.onDuplicate,
        on_invalid=shape.onInvalid,
        on_bad_number=shape.onInvalid,
        action=Action(shape.action.key, shape.action.value) if shape.action else None,
        metadata=shape.metadata,
        on_unknown=shape.onUnknown or "fail",
        expire_at=requests.time_of(shape.expireAt, "expireAt", faults),
    )


class WebhookShape(_Shape):
    url: Annotated[str, Field(max_length=2000)]
    types: list[str] | None = None


class PeopleShape(_Shape):
    to: Annotated[list[str], Field(min_length=1, max_length=10_000)]
    reason: Annotated[str, Field(min_length=1, max_length=200)] = "by hand"


def people(document: dict[str, Any], faults: Faults) -> PeopleShape:
    """People to suppress, as E.164 or user ids; raises Invalid with every number that is none."""
    shape = requests.valid(PeopleShape, document, faults)
    numbers = []
    for i, given in enumerate(shape.to):
        try:
            numbers.append(phone.recipient(given))
        except ValueError as error:
            faults.add(f"to[{i}]", str(error))
    if faults:
        raise Invalid(faults)
    return PeopleShape(to=numbers, reason=shape.reason)


def _one(where: str, entry: Any, faults: Faults) -> Recipient:
    shape = requests.shaped(RecipientShape, entry, where, faults)
    if shape is None:
        return Recipient(where)
    named_by = [name for name in _PERSON if getattr(shape, name) is not None]
    if len(named_by) != 1:
        field = f"{where}.{named_by[1]}" if named_by else f"{where}.to"
        told = f"cannot stand beside {named_by[0]}" if named_by else "is required, or userId or sessionId"
        faults.add(field, told)
        return Recipient(where)
    if shape.metadata is not None:
        requests.check_depth(f"{where}.metadata", shape.metadata, strict_json.MAX_DEPTH, faults)
    if shape.variables is not None:
        requests.check_depth(f"{where}.variables", shape.variables, DEEPEST_VARIABLES, faults)
    template = TemplateRef(shape.template.name, shape.template.language) if shape.template else None
    return Recipient(
        where, shape.to, shape.variables, template, shape.metadata, shape.userId, shape.sessionId
    )
