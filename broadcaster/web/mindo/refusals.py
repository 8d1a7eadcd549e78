"""How Mindo refuses: a sentence, and details."""

from typing_extensions import TypedDict

from broadcaster.errors import Kind
from broadcaster.web.operations import Reply
from broadcaster.web.refusals import Refusal


class MindoError(TypedDict):
    """One sentence; in the details the messages of each field, or Meta's code and text."""

    error: str
    details: dict[str, list[str] | str | int | None]


def refuse(refusal: Refusal) -> Reply[MindoError]:
    """One sentence and, for faults of the input, their messages by field."""
    by_field: dict[str, list[str]] = {}
    status = refusal.status
    if refusal.faults is not None:
        for fault in refusal.faults.shown:
            by_field.setdefault(fault.field, []).append(fault.message)
        unknown = refusal.faults.kinds & {Kind.CHANNEL_UNKNOWN, Kind.TEMPLATE_UNKNOWN}
        status = 404 if unknown and Kind.INPUT not in refusal.faults.kinds else status
    return Reply({"error": refusal.detail, "details": {**by_field}}, status)
