"""Receipts: Meta's callbacks kept as they came, and what they do to messages."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import NamedTuple

from broadcaster import log
from broadcaster.domain import strict_json
from broadcaster.domain.receipts import Receipt
from broadcaster.store import broadcasts, conversations, database, installation, messages
from broadcaster.store.conversations import SentMessage
from broadcaster.store.messages import Matched
from broadcaster.store.models import Broadcast, Callback, Channel, EarlyReceipt, Message

_AT_ONCE = 500

logger = log.get(__name__)


class ReceivedCallback(NamedTuple):
    """One callback: its raw body and the receipts in it."""

    body: str
    receipts: list[Receipt]


def record(callbacks: Sequence[ReceivedCallback], now: int, understood: bool = True) -> None:
    """Keep these callbacks and let their receipts do their work, whatever order they came in."""
    rows = [(now, came.body, understood) for came in callbacks]
    database.insert_rows(Callback, ("received_at", "body", "understood"), rows)
    apply([receipt for came in callbacks for receipt in came.receipts], now)


def apply(receipts: Sequence[Receipt], now: int) -> int:
    """What these receipts change; returns how many messages changed."""
    matched, early = _match(receipts)
    if early:
        kept = [(r.wamid, strict_json.dumps(asdict(r)), now) for r in early]
        database.insert_rows(EarlyReceipt, ("wamid", "receipt", "received_at"), kept)
    return _receive(matched, now)


def catch_up(wamids: Sequence[str], now: int) -> None:
    """Receipts that were here before these ids of Meta's: now their messages are known."""
    if not EarlyReceipt.select().exists():
        return
    rows = [row for part in database.parts(wamids, _AT_ONCE) for row in _early(part)]
    if rows:
        EarlyReceipt.delete().where(EarlyReceipt.id.in_([row.id for row in rows])).execute()
        apply([Receipt(**strict_json.loads(row.receipt.encode())) for row in rows], now)


def _early(wamids: Sequence[str]) -> list[EarlyReceipt]:
    return list(EarlyReceipt.select().where(EarlyReceipt.wamid.in_(wamids)))


def _match(receipts: Iterable[Receipt]) -> tuple[list[Matched], list[Receipt]]:
    """Receipts with their messages, by our callback data first and Meta's id second; and those that
    may belong to an answer still on its way."""
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
    return matched, early


def senders(receipts: Sequence[Receipt]) -> list[tuple[Message, Channel, Receipt]]:
    """The message and the channel each of these receipts is about; others' are left out."""
    found = []
    for message_id, _, receipt in _match(receipts)[0] if receipts else ():
        row = Message.get_or_none(Message.id == message_id)
        if row is not None:
            broadcast_row = Broadcast.get_by_id(row.broadcast_id)
            found.append((row, Channel.get_by_id(broadcast_row.channel_id), receipt))
    return found


def note_understood(callback_id: int) -> None:
    Callback.update(understood=True).where(Callback.id == callback_id).execute()


def _receive(matched: list[Matched], now: int) -> int:
    moved = messages.receive(matched, now)
    if log.is_detailed():
        for row in moved:
            logger.debug("receipt", message=row.id, broadcast_row=row.broadcast_id, delivery=row.delivery)
    ids = {row.broadcast_id for row in moved}
    if ids:
        query = Broadcast.select(Broadcast.id, Broadcast.channel_id).where(Broadcast.id.in_(ids))
        channels = dict(database.tuples(query))
        left = [
            SentMessage(channels[row.broadcast_id], row.recipient, now, row.broadcast_id, row.id)
            for row in moved
            if row.has_left
        ]
        conversations.note_sent(left, now)
        for word in ("delivered", "read", "failed"):
            told = [row.id for row in moved if row.delivery == word]
            broadcasts.tell_messages(f"message.{word}", told, now)
        broadcasts.tell_messages("message.sent", [row.id for row in moved if row.has_left], now)
        broadcasts.finish(ids, now)
    return len(moved)


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
