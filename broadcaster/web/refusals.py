"""Why a request is not carried out, for every API to say in its own words."""

from dataclasses import dataclass

from typing_extensions import TypedDict

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


class TooLarge(BroadcasterError):
    """The body exceeds what is read."""


class WrongType(BroadcasterError):
    """The body is not declared as what this path takes."""


_STATUS: dict[type[BroadcasterError], int] = {
    Invalid: 400,
    Malformed: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    TooLarge: 413,
    WrongType: 415,
    KeyReused: 422,
    Busy: 503,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not carried out; `cause` is the error of ours that said so, if one did."""

    status: int
    detail: str
    faults: Faults | None = None
    cause: BroadcasterError | None = None


class FieldFault(TypedDict):
    """What is wrong with one field of a request."""

    field: str
    message: str


def status_of(error: BroadcasterError) -> int:
    """The HTTP status an error of ours is answered with."""
    return _STATUS.get(type(error), 500)


def shown(faults: Faults | None) -> list[FieldFault]:
    """The faults that are kept, at most 100, as they are told."""
    return [{"field": fault.field, "message": fault.message} for fault in faults.shown] if faults else []
