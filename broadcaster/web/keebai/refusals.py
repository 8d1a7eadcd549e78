"""How Keebai refuses: a code in capitals, a sentence, and the faults of the input."""

from typing import Literal

from typing_extensions import TypeAliasType, TypedDict

from broadcaster.errors import Kind
from broadcaster.web.operations import Reply
from broadcaster.web.refusals import FieldFault, Refusal, shown

KeebaiCode = TypeAliasType(
    "KeebaiCode",
    Literal[
        "VALIDATION_ERROR",
        "INVALID_BROADCAST_ID",
        "UNAUTHORIZED",
        "INSUFFICIENT_SCOPE",
        "BROADCAST_NOT_FOUND",
        "CHANNEL_NOT_FOUND",
        "TEMPLATE_NOT_FOUND",
        "TEMPLATE_NOT_APPROVED",
        "METHOD_NOT_ALLOWED",
        "PAYLOAD_TOO_LARGE",
        "UNSUPPORTED_MEDIA_TYPE",
        "IDEMPOTENCY_KEY_REUSED",
        "INTERNAL_ERROR",
        "SERVICE_UNAVAILABLE",
    ],
)
_CODES: dict[int, KeebaiCode] = {
    401: "UNAUTHORIZED",
    403: "INSUFFICIENT_SCOPE",
    404: "BROADCAST_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "IDEMPOTENCY_KEY_REUSED",
    500: "INTERNAL_ERROR",
    503: "SERVICE_UNAVAILABLE",
}
_CODE_OF_KIND: dict[Kind, tuple[int, KeebaiCode]] = {
    Kind.CHANNEL_UNKNOWN: (404, "CHANNEL_NOT_FOUND"),
    Kind.TEMPLATE_UNKNOWN: (404, "TEMPLATE_NOT_FOUND"),
    Kind.TEMPLATE_UNAPPROVED: (400, "TEMPLATE_NOT_APPROVED"),
}


class KeebaiErrorBody(TypedDict):
    code: KeebaiCode
    message: str
    details: list[FieldFault]


class KeebaiError(TypedDict):
    error: KeebaiErrorBody


def refuse(refusal: Refusal) -> Reply[KeebaiError]:
    """A code and a sentence, and for faults of the input all of them."""
    status, code = refusal.status, _CODES.get(refusal.status, "VALIDATION_ERROR")
    kinds = refusal.faults.kinds if refusal.faults else set()
    if Kind.INPUT not in kinds:
        told = [_CODE_OF_KIND[kind] for kind in _CODE_OF_KIND if kind in kinds]
        status, code = told[0] if told else (status, code)
    return Reply(error(code, refusal.detail, shown(refusal.faults)), status)


def error(code: KeebaiCode, message: str, details: list[FieldFault]) -> KeebaiError:
    return {"error": {"code": code, "message": message, "details": details}}
