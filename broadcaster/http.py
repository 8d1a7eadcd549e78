"""What every face needs of a request: its token, its body, its query; and errors as problems."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import falcon

from broadcaster import access, wire
from broadcaster.config import Settings
from broadcaster.errors import (
    BroadcasterError,
    Fault,
    Faults,
    Forbidden,
    Invalid,
    KeyReused,
    Malformed,
    NotFound,
    Unauthorized,
)
from broadcaster.tasks import Bell

LARGEST_BODY = 10 * 1024 * 1024
PROBLEM_TYPE = "application/problem+json"

_STATUS: dict[type[BroadcasterError], int] = {
    Invalid: 400,
    Malformed: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    KeyReused: 422,
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
    bell: Bell


class TooLarge(BroadcasterError):
    """The body exceeds what is read."""


class WrongType(BroadcasterError):
    """The body is not declared as JSON."""


_STATUS |= {TooLarge: 413, WrongType: 415}


def caller(request: falcon.Request, scope: str, now: int) -> access.Caller:
    """The holder of the request's token; raises Unauthorized, and Forbidden without the scope."""
    found = access.authenticate(_presented(request), now)
    found.require(scope)
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
    document = wire.loads(raw, faults)
    if not isinstance(document, dict):
        raise Malformed("the body must be a JSON object")
    return document


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

    def one_of(self, name: str, choices: Collection[str]) -> str | None:
        value = self._given.get(name)
        if value is not None and value not in choices:
            self.faults.add(name, f"must be one of {', '.join(choices)}")
        return value

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
    response.text = document if isinstance(document, str) else wire.dumps(document)


def status_of(error: BroadcasterError) -> int:
    return _STATUS.get(type(error), 500)


def problem(status: int, detail: str, faults: Faults | None = None) -> dict[str, Any]:
    """An RFC 9457 problem; faults name their fields, at most 100 are shown and all are counted."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
    }
    if faults is not None:
        document["errors"] = [_shown(fault) for fault in faults.shown]
        document["errorCount"] = faults.count
    return document


def answer_problem(response: falcon.Response, document: dict[str, Any]) -> None:
    answer(response, document, document["status"])
    response.content_type = PROBLEM_TYPE
    if document["status"] == 401:
        response.set_header("WWW-Authenticate", "Bearer")


def _shown(fault: Fault) -> dict[str, str]:
    return {"field": fault.field, "message": fault.message}


def _presented(request: falcon.Request) -> str | None:
    scheme, _, token = (request.auth or "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.get_header("X-API-Key")
