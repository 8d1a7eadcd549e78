"""What receipts do to a message.

Receipts come late, twice and in any order, so a message's delivery is the highest it was ever
told: null < sent < failed < delivered < read.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from broadcaster.domain.names import NOBODY, Names

UNDELIVERED = "UNDELIVERED"
"""The code of what a receipt called failed without giving one."""
RANKS = {None: 0, "sent": 1, "failed": 2, "delivered": 3, "read": 4}


@dataclass(frozen=True, slots=True)
class Receipt:
    """One status of one message; `tag` is our own callback data, `at` epoch milliseconds."""

    wamid: str
    status: str
    at: int
    tag: str | None = None
    code: str | None = None
    text: str | None = None
    pricing: dict[str, Any] | None = None
    names: Names = field(default=NOBODY, compare=False)
    """What Meta calls the recipient; it says nothing of what happened, so it makes no other receipt."""


# What receipts do to a message


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a message receipts may change."""

    state: str
    delivery: str | None
    attempt: int
    wamid: str | None = None
    sent_at: int | None = None
    delivered_at: int | None = None
    read_at: int | None = None
    undelivered_at: int | None = None
    error_code: str | None = None
    error_text: str | None = None


def settle(message: Standing, receipts: Iterable[tuple[Receipt, int]]) -> Standing:
    """The message after these receipts, each with the attempt it belongs to.

    pending | sending | unknown | failed | cancelled -> sent, by a receipt that only something handed
    over can have; unknown -> failed, by one that says failed. What was sent stays sent whatever is
    told later. The order of receipts changes nothing.
    """
    for receipt, attempt in receipts:
        if receipt.status == "failed":
            message = _failed(message, receipt, attempt)
        elif receipt.status != "sent" or attempt >= message.attempt:
            # That an earlier attempt was taken over says nothing of the one after its failure; that it
            # was delivered or read does: the person has it.
            message = _passed(message, receipt)
    return message


def _passed(message: Standing, receipt: Receipt) -> Standing:
    higher = RANKS[receipt.status] > RANKS[message.delivery]
    delivery = receipt.status if higher else message.delivery
    undelivered = delivery == "failed"
    # Not by replace(), which takes three times as long.
    return Standing(
        state="sent",
        delivery=delivery,
        attempt=message.attempt,
        wamid=message.wamid or receipt.wamid,
        sent_at=message.sent_at or receipt.at,
        delivered_at=message.delivered_at or (receipt.at if receipt.status == "delivered" else None),
        read_at=message.read_at or (receipt.at if receipt.status == "read" else None),
        undelivered_at=message.undelivered_at if undelivered else None,
        error_code=message.error_code if undelivered else None,
        error_text=message.error_text if undelivered else None,
    )


def _failed(message: Standing, receipt: Receipt, attempt: int) -> Standing:
    # The failure of an earlier attempt says nothing of the one under way, nor of what never left.
    late = attempt != message.attempt or message.state in ("pending", "cancelled")
    if late or RANKS[message.delivery] >= RANKS["failed"]:
        return message
    return replace(
        message,
        state="failed" if message.state == "unknown" else message.state,
        delivery="failed",
        wamid=message.wamid or receipt.wamid,
        undelivered_at=receipt.at,
        error_code=receipt.code or UNDELIVERED,
        error_text=receipt.text,
    )
