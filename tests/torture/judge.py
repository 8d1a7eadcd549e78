"""What must hold at the end of a world. Pure: what was asked and answered, what Graph noted, what the product
says; the faults in it come out, as sentences.

Whether somebody got two messages, or none, is asked of Graph's own record.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.torture.graph import Accepted

UNKNOWN = "OUTCOME_UNKNOWN"
MARKETING = "event_trailer"
"""The template that worlds send as marketing."""


@dataclass
class Order:
    """A broadcast that somebody asked for, under one Idempotency-Key, and what they did with it."""

    key: str
    body: dict[str, Any]
    id: str | None = None
    """Once it was accepted."""
    ids: set[str] = field(default_factory=set)
    """All that were ever answered for the key."""
    stop_asked: bool = False
    retries: int = 0
    """Requests to send again what failed for sure."""
    risks: int = 0
    """Requests to send again what may have been delivered."""

    @property
    def people(self) -> list[str]:
        return [recipient["to"] for recipient in self.body["recipients"]]

    @property
    def is_marketing(self) -> bool:
        return bool(self.body["template"]["name"] == MARKETING)


@dataclass
class Evidence:
    """All that a world is judged by."""

    orders: Sequence[Order]
    documents: Mapping[str, dict[str, Any]]
    """By broadcast id, as the API shows it at the end."""
    rows: Mapping[str, Sequence[dict[str, Any]]]
    """The messages of each broadcast."""
    accepted: Sequence[Accepted]
    refused: Mapping[str, set[int]]
    suppressed: set[str]
    """Who had opted out, and been told so, before any broadcast to them was asked for."""
    finished: set[str]
    """Broadcasts of whose end an event tells."""


def faults(found: Evidence) -> list[str]:
    """Every promise that was broken."""
    return [*_lost_and_doubled(found), *_strangers(found), *_each_order(found)]


def _lost_and_doubled(found: Evidence) -> Iterator[str]:
    for order in found.orders:
        if order.id is None:
            yield f"{order.key} was never accepted"
        elif len(order.ids) > 1:
            yield f"{order.key} was accepted more than once: {sorted(order.ids)}"
        elif order.id not in found.documents:
            yield f"{order.key} was accepted as {order.id} and is gone"
    known = {order.id for order in found.orders}
    for one in found.documents.keys() - known:
        yield f"there is a broadcast {one} that nobody was told of"


def _strangers(found: Evidence) -> Iterator[str]:
    everybody = {person for order in found.orders for person in order.people}
    for one in {row.recipient for row in found.accepted} - everybody:
        yield f"a message went to {one}, whom nobody asked for"


def _each_order(found: Evidence) -> Iterator[str]:
    accepted: dict[str, list[Accepted]] = {}
    for row in found.accepted:
        accepted.setdefault(row.recipient, []).append(row)
    for order in found.orders:
        if order.id is None or order.id not in found.documents:
            continue
        document, rows = found.documents[order.id], found.rows[order.id]
        yield from _sums(order, document, rows)
        if not order.stop_asked and order.id not in found.finished:
            yield f"{order.id} ended and no event tells it"
        by_person = {row["to"]: row for row in rows}
        for person in order.people:
            if person not in by_person:
                yield f"{person} of {order.id} is missing"
                continue
            yield from _person(order, by_person[person], accepted.get(person, []), found)


def _sums(order: Order, document: dict[str, Any], rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    stats, states = document["stats"], Counter(row["state"] for row in rows)
    counted = {
        "pending": states["pending"] + states["sending"] + states["unknown"],
        "success": states["sent"],
        "failed": states["failed"],
        "cancelled": states["cancelled"],
        "total": len(order.people),
    }
    if stats != counted:
        yield f"{order.id} says {stats}, its rows are {counted}"
    if len(rows) != len(order.people):
        yield f"{order.id} has {len(rows)} messages for {len(order.people)} people"
    if not document["finishedAt"]:
        yield f"{order.id} did not end: {stats}, {document['status']}, {document['whyWaiting']}"


def _person(
    order: Order, row: dict[str, Any], accepted: Sequence[Accepted], found: Evidence
) -> Iterator[str]:
    who = f"{row['to']} of {order.id} ({row['state']}, {row['delivery']}, {_code(row)})"
    if len(accepted) > _most(order, accepted):
        yield f"{who}: Graph accepted {len(accepted)} messages: {[one.tag for one in accepted]}"
    if row["to"] in found.suppressed and order.is_marketing:
        if accepted or _code(row) != "SUPPRESSED":
            yield f"{who}: had opted out, and Graph accepted {len(accepted)} messages"
    elif not accepted and not _may_be_unsent(order, row, found.refused.get(row["to"], set())):
        yield f"{who}: Graph accepted nothing"
    elif len(accepted) == 1 and not _is_told(order, row, accepted[0].receipts):
        yield f"{who}: Graph accepted it, and told {accepted[0].receipts}"


def _code(row: dict[str, Any]) -> str | None:
    return row["error"] and str(row["error"]["code"])


def _most(order: Order, accepted: Sequence[Accepted]) -> int:
    """How many messages there may be: one, and one more for each that somebody asked for."""
    failed_for_sure = any(word.startswith("failed") for one in accepted for word in one.receipts)
    return 1 + _resends(order) + (order.retries if failed_for_sure else 0)


def _resends(order: Order) -> int:
    """How often somebody asked to send again what may have been delivered."""
    return order.risks + (order.body["onUnknown"] == "resend")


def _may_be_unsent(order: Order, row: dict[str, Any], refused: set[int]) -> bool:
    if row["state"] == "cancelled":
        return order.stop_asked
    return row["state"] == "failed" and (_code(row) == UNKNOWN or _code(row) in {str(c) for c in refused})


def _is_told(order: Order, row: dict[str, Any], receipts: Sequence[str]) -> bool:
    """Whether a message that was accepted once stands as its receipts tell."""
    if not receipts:
        return row["state"] == "sent" or (row["state"] == "failed" and _code(row) == UNKNOWN)
    last = receipts[-1]
    if last.startswith("failed"):
        failed_at_once = row["state"] == "failed" and _code(row) == last.partition(":")[2]
        has_failed = failed_at_once or (row["state"], row["delivery"]) == ("sent", "failed")
        # A retry of what failed for sure may be stopped before it leaves.
        is_withdrawn = row["state"] == "cancelled" and order.stop_asked and order.retries > 0
        return has_failed or is_withdrawn
    return (row["state"], row["delivery"]) == ("sent", last)


def miscounted(found: Evidence, counted: Mapping[str, float]) -> list[str]:
    """Counters of /metrics that are not what the rows say; by names without labels."""
    sent = sum(row["state"] == "sent" for rows in found.rows.values() for row in rows)
    again = any(order.retries or order.risks or order.body["onUnknown"] == "resend" for order in found.orders)
    people = sum(len(order.people) for order in found.orders)
    faults = []
    if counted["broadcaster_broadcasts_accepted_total"] != len(found.orders):
        faults.append(f"{len(found.orders)} broadcasts were accepted: {dict(counted)}")
    if counted["broadcaster_messages_accepted_total"] != people:
        faults.append(f"{people} messages were accepted: {dict(counted)}")
    counted_sent = counted["broadcaster_messages_sent_total"]
    if counted_sent < sent or (counted_sent > sent and not again):
        faults.append(f"{sent} messages were sent: {dict(counted)}")
    return faults


def fell(before: Mapping[Any, float], after: Mapping[Any, float]) -> list[str]:
    """Counters that went backwards between two looks at /metrics, or went away."""
    return [
        f"{name} went from {value} to {after.get(name)}"
        for name, value in before.items()
        if after.get(name, -1.0) < value
    ]


_NUMBER = re.compile(r"90555\d{7}")


def leaks(log: str, secrets: Iterable[str]) -> list[str]:
    """Numbers and secrets in a log."""
    found = [f"the log names {match[:6]}..." for match in sorted(set(_NUMBER.findall(log)))[:3]]
    return found + [
        f"the log has the secret {secret[:4]}..." for secret in secrets if secret and secret in log
    ]
