"""Errors: what can go wrong, in the words of the caller.

Every error that may reach a person derives from BroadcasterError and reads as one
sentence. Faults are the input errors of one request: all of them are collected
before the request is refused.
"""

from dataclasses import dataclass, field
from enum import StrEnum, auto

SHOWN_FAULTS = 100


class BroadcasterError(Exception):
    """A sentence for the person who asked; nothing in it is secret."""


class Kind(StrEnum):
    """What a fault is about, where an API answers it in a way of its own."""

    INPUT = auto()
    CHANNEL_UNKNOWN = auto()
    CHANNEL_UNVERIFIED = auto()
    TEMPLATE_UNKNOWN = auto()
    TEMPLATE_UNAPPROVED = auto()
    DUPLICATE = auto()
    PERSON_UNKNOWN = auto()
    COMBINATION = auto()
    """Fields right one by one and wrong together."""


@dataclass(frozen=True, slots=True)
class Fault:
    field: str
    message: str
    kind: Kind = Kind.INPUT


@dataclass(slots=True)
class Faults:
    """The faults of one request: the first 100 are kept, all are counted."""

    shown: list[Fault] = field(default_factory=list)
    count: int = 0
    kinds: set[Kind] = field(default_factory=set)

    def add(self, where: str, message: str, kind: Kind = Kind.INPUT) -> None:
        self.kinds.add(kind)
        if len(self.shown) < SHOWN_FAULTS:
            # Names and values come from outside and are repeated only as far as they help.
            fault = Fault(_clipped(where, 200), _clipped(message, 500), kind)
            if fault in self.shown:
                return
            self.shown.append(fault)
        self.count += 1

    def __bool__(self) -> bool:
        return self.count > 0

    def check(self) -> None:
        """Raises Invalid if there are any."""
        if self.count:
            raise Invalid(self)


def _clipped(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + "..."


class Invalid(BroadcasterError):
    """The request has faults; nothing of it was stored."""

    def __init__(self, faults: Faults):
        self.faults = faults
        first = faults.shown[0]
        more = f" (and {faults.count - 1} more)" if faults.count > 1 else ""
        super().__init__(f"{first.field}: {first.message}{more}")


class Malformed(BroadcasterError):
    """The body cannot be read at all: no JSON, wrong encoding, nested too deeply."""


class Unauthorized(BroadcasterError):
    """No token, or one that is unknown, expired or revoked."""


class Forbidden(BroadcasterError):
    """The token is good but lacks the scope."""


class NotFound(BroadcasterError):
    """There is no such thing, or the caller may not see it."""


class Busy(BroadcasterError):
    """Too much of this is going on at once; the same request may succeed in a moment."""


class KeyReused(BroadcasterError):
    """An Idempotency-Key came back with a different request."""


class Misconfigured(BroadcasterError):
    """The installation cannot run as it is set up."""


class GraphError(BroadcasterError):
    """Graph refused a management call; `code` is Meta's, or None when it could not be asked."""

    def __init__(self, message: str, code: int | None = None):
        self.code = code
        super().__init__(message)
