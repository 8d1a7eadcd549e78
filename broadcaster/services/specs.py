"""Specs: a broadcast as a request asks for it, whatever API the request came through."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from broadcaster.domain.templates import Slots, Variables
from broadcaster.domain.variables import TemplateRef
from broadcaster.domain.words import ActionKey, OnDuplicate, OnInvalid, OnUnknown
from broadcaster.errors import Faults

Arrange = Callable[[Slots, Variables, str, Faults], Variables]
"""Turns variables as one API's callers write them into ours, once the template is known."""


class Recipient(NamedTuple):
    """An entry of a request; `where` is its place there, for faults, and `content` that of its
    template and variables if they stand elsewhere.

    Exactly one of `to`, `contact` and `conversation` names the person; none, where an API found
    the entry unreadable and noted the fault. `inherits` lays it over the request's template.
    """

    where: str
    to: str | None = None
    variables: Any = None
    template: TemplateRef | None = None
    metadata: Any = None
    contact: str | None = None
    conversation: str | None = None
    inherits: bool = True
    content: str = ""


@dataclass(frozen=True, slots=True)
class Names:
    """What an API calls the fields, so that faults speak its language.

    The last six stand below a recipient's place.
    """

    channel: str = "channel"
    due_at: str = "scheduleAt"
    recipients: str = "recipients"
    template: str = "template.name"
    language: str = "template.language"
    variables: str = "template.variables"
    to: str = "to"
    contact: str = "userId"
    conversation: str = "sessionId"
    own_template: str = "template.name"
    own_language: str = "template.language"
    own_variables: str = "variables"


@dataclass(frozen=True, slots=True)
class Action:
    """What becomes of a conversation once its message left; `value` is the caller's own id."""

    key: ActionKey
    value: str


@dataclass(frozen=True, slots=True)
class Spec:
    """A broadcast as it was asked for; `due_at` None means now. Channel and recipients are None
    where an API found them unreadable and noted the fault: the rest is checked all the same.

    `on_invalid` is for recipients whose variables do not fit, `on_bad_number` for those who
    cannot be a person. `face` is the API the request came through, `face_data` what that API
    wants to find again.
    """

    channel: str | None
    template: TemplateRef
    recipients: list[Recipient] | None
    title: str | None = None
    due_at: int | None = None
    priority: int = 0
    on_duplicate: OnDuplicate = "drop"
    on_invalid: OnInvalid = "reject"
    on_bad_number: OnInvalid = "reject"
    may_be_past: bool = False
    metadata: Any = None
    action: Action | None = None
    on_unknown: OnUnknown = "fail"
    expire_at: int | None = None
    names: Names = field(default_factory=Names)
    arrange: Arrange | None = None
    face: str = "own"
    country: str | None = None
    face_data: Any = None
