"""How MonoChat refuses: a code, a sentence, and the faults of the input."""

from typing import Literal

from typing_extensions import TypeAliasType, TypedDict

from broadcaster.errors import Kind, NotFound
from broadcaster.web.operations import Reply
from broadcaster.web.refusals import FieldFault, Refusal, shown

MonoChatCode = TypeAliasType(
    "MonoChatCode",
    Literal[
        "schema-error",
        "invalidRequest",
        "channelNotFound",
        "channelNotVerified",
        "bulkMessageNotFound",
        "unauthorized",
        "forbidden",
        "notFound",
        "methodNotAllowed",
        "payloadTooLarge",
        "unsupportedMediaType",
        "idempotencyKeyReused",
        "internalError",
        "serviceUnavailable",
    ],
)
_CODES: dict[int, MonoChatCode] = {
    401: "unauthorized",
    403: "forbidden",
    404: "notFound",
    405: "methodNotAllowed",
    413: "payloadTooLarge",
    415: "unsupportedMediaType",
    422: "idempotencyKeyReused",
    500: "internalError",
    503: "serviceUnavailable",
}


class MonoChatError(TypedDict):
    error: MonoChatCode
    message: str
    details: list[FieldFault]


def refuse(refusal: Refusal) -> Reply[MonoChatError]:
    """A code, a sentence, and the faults of the input."""
    status, code, told = refusal.status, _CODES.get(refusal.status, "schema-error"), refusal.detail
    if isinstance(refusal.cause, NotFound):
        code = "bulkMessageNotFound"
    kinds = refusal.faults.kinds if refusal.faults else set()
    if kinds and Kind.INPUT not in kinds:
        if Kind.CHANNEL_UNKNOWN in kinds:
            status, code, told = 404, "channelNotFound", "Channel not found"
        elif Kind.CHANNEL_UNVERIFIED in kinds:
            code, told = "channelNotVerified", "Channel is not verified"
        elif not kinds & {Kind.TEMPLATE_UNKNOWN, Kind.TEMPLATE_UNAPPROVED}:
            code = "invalidRequest"
    return Reply({"error": code, "message": told, "details": shown(refusal.faults)}, status)
