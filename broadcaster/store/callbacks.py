"""Receipts: Meta's callbacks kept as they came, and what they do to messages."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from broadcaster import log
from broadcaster.domain import strict_json
from broadcaster.domain.names import Names
from broadcaster.domain.receipts import Receipt
from broadcaster.store import database, installation, packing
from broadcaster.store.messages import Matched
from broadcaster.store.models import Callback, EarlyReceipt, Message

_AT_ONCE = 500

logger = log.get(__name__)


def keep(bodies: Sequence[str], now: int, understood: bool = True) -> None:
    """Keep these callbacks as they came."""
    rows = [(now, packing.pack(body), understood) for body in bodies]
    database.insert_rows(Callback, ("received_at", "body", "understood"), rows)


def take_early(wamids: Sequence[str]) -> list[Receipt]:
    """The receipts that came before these ids of Meta's were known; they are kept no longer."""
    if not wamids or not EarlyReceipt.select().exists():
        return []
    rows = [row for part in database.parts(wamids, _AT_ONCE) for row in _early(part)]
    EarlyReceipt.delete().where(EarlyReceipt.id.in_([row.id for row in rows])).execute()
    return [_stored(strict_json.loads(row.receipt.encode())) for row in rows]


def _stored(facts: dict[str, Any]) -> Receipt:
    return Receipt(**{**facts, "names": Names(*facts.get("names", ()))})


def _early(wamids: Sequence[str]) -> list[EarlyReceipt]:
    return list(EarlyReceipt.select().where(EarlyReceipt.wamid.in_(wamids)))


def match(receipts: Iterable[Receipt], now: int) -> list[Matched]:
    """Receipts with their messages, by our callback data first and Meta's id second.

    Those that may belong to an answer still on its way are kept until it comes.
    """
    key = installation.key()
    matched, by_wamid = [], []
    for receipt in receipts:
        tag = (receipt.tag or "").split(".")
        if len(tag) == 3 and tag[0] == key and tag[1].isdecimal() and tag[2].isdecimal():
            matched.append(Matched(int(tag[1][:18]), int(tag[2][:18]), receipt))
        else:
            by_wamid.append(receipt)
    known: dict[str, tuple[int, int]] = {}
    for part in database.parts(sorted({receipt.wamid for receipt in by_wamid}), _AT_ONCE):
        query = Message.select(Message.wamid, Message.id, Message.attempt).where(Message.wamid.in_(part))
        known |= {wamid: (row_id, attempt) for wamid, row_id, attempt in database.tuples(query)}
    matched += [Matched(*known[r.wamid], r) for r in by_wamid if r.wamid in known]
    # With a tag of our form it is another installation's on the same number, and no answer will name it.
    early = [r for r in by_wamid if r.wamid not in known and (r.tag or "").count(".") != 2]
    if early:
        kept = [(r.wamid, strict_json.dumps(asdict(r)), now) for r in early]
        database.insert_rows(EarlyReceipt, ("wamid", "receipt", "received_at"), kept)
    return matched


def note_understood(callback_id: int) -> None:
    Callback.update(understood=True).where(Callback.id == callback_id).execute()


def last_received() -> int | None:
    """When a callback came last."""
    newest = Callback.select(Callback.received_at).order_by(Callback.id.desc()).first()
    return newest.received_at if newest else None


def page(since: int, after: int, limit: int) -> list[Callback]:
    """Raw callbacks received since a time, after an id."""
    query = Callback.select().where((Callback.received_at >= since) & (Callback.id > after))
    return list(query.order_by(Callback.id).limit(limit))


def forget(received_before: int) -> int:
    """Drop what is older, in portions that keep nobody waiting."""
    early = database.delete_in_portions(EarlyReceipt, EarlyReceipt.received_at < received_before)
    return early + database.delete_in_portions(Callback, Callback.received_at < received_before)
