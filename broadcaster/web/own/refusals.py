"""How our own API refuses: RFC 9457 problems."""

from typing import NotRequired

from typing_extensions import TypedDict

from broadcaster.web.operations import Reply
from broadcaster.web.refusals import FieldFault, Refusal, shown

PROBLEM_TYPE = "application/problem+json"
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


class Problem(TypedDict):
    """Why a request is not carried out; faults name their fields, at most 100 are shown and all are
    counted."""

    type: str
    title: str
    status: int
    detail: str
    errors: NotRequired[list[FieldFault]]
    errorCount: NotRequired[int]


def refuse(refusal: Refusal) -> Reply[Problem]:
    """The refusal as a problem document."""
    return Reply(problem(refusal))


def problem(refusal: Refusal) -> Problem:
    """An RFC 9457 problem."""
    document: Problem = {
        "type": "about:blank",
        "title": _TITLES.get(refusal.status, "Error"),
        "status": refusal.status,
        "detail": refusal.detail,
    }
    if refusal.faults is not None:
        document["errors"] = shown(refusal.faults)
        document["errorCount"] = refusal.faults.count
    return document
