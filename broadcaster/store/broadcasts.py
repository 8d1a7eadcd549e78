"""Broadcasts: their facts, from acceptance to the end, and the queries of the sweep and of the APIs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired

from peewee import fn
from typing_extensions import TypedDict

from broadcaster import log
from broadcaster.domain.words import BroadcastStage, BroadcastStatus, OnUnknown, PauseReason
from broadcaster.store import counters, database, message_queries, messages, people, statuses
from broadcaster.store.models import Broadcast, Channel, Message

logger = log.get(__name__)


class Facts(TypedDict):
    """What is known of a broadcast when it is accepted; `metadata` and `face_data` are JSON."""

    public_id: str
    channel_id: int
    token_id: NotRequired[str | None]
    title: NotRequired[str | None]
    template_name: str
    template_language: str
    priority: int
    metadata: NotRequired[str | None]
    duplicates: int
    scheduled: bool
    due_at: int
    face: NotRequired[str]
    face_data: NotRequired[str | None]
    task_id: NotRequired[str | None]
    action_key: NotRequired[str | None]
    action_value: NotRequired[str | None]
    on_unknown: NotRequired[OnUnknown]
    expire_at: NotRequired[int | None]


def accept(facts: Facts, drafts: Sequence[messages.Draft], now: int) -> Broadcast:
    """Store a broadcast and all its messages; the caller's transaction makes it one."""
    broadcast = Broadcast.create(created_at=now, **{"on_unknown": "fail", "face": "own", **facts})
    people.add_new((draft.recipient for draft in drafts if not draft.error_code), now)
    messages.insert(broadcast.id, drafts, broadcast.due_at, now)
    return broadcast


def note_start(broadcast_ids: Iterable[int], now: int) -> list[int]:
    """These have begun to send; those that had before keep their time. Returns who begins."""
    query = Broadcast.update(started_at=now).where(
        Broadcast.id.in_(list(broadcast_ids)) & Broadcast.started_at.is_null()
    )
    return [row_id for (row_id,) in database.tuples(query.returning(Broadcast.id))]


def note_first_requests(rows: Sequence[tuple[int, int, int]]) -> None:
    """When the first request of a claim left, which had been noted as the start; rows are (broadcast, claimed
    at, left at). Claims that were not the first change nothing."""
    database.change_rows(
        "UPDATE broadcast SET started_at = v.left_at FROM v"
        " WHERE broadcast.id = v.id AND broadcast.started_at = v.claimed_at AND v.left_at > v.claimed_at",
        ("id", "claimed_at", "left_at"),
        rows,
    )


def expire(now: int) -> list[int]:
    """Cancel what has not left of broadcasts whose time has run out; returns these."""
    query = Broadcast.select(Broadcast.id).where(
        (Broadcast.expire_at <= now) & Broadcast.finished_at.is_null() & message_queries.waiting(Broadcast.id)
    )
    ids = [row_id for (row_id,) in database.tuples(query)]
    if ids:
        database.lock_broadcasts(ids)
        messages.expire(ids, now)
    return ids


def stop(broadcast_id: int, now: int) -> bool:
    """Cancel what is pending and note the exact numbers; False if it was stopped or has ended."""
    database.lock_broadcasts([broadcast_id])
    row = Broadcast.get_by_id(broadcast_id)
    if row.stopped_at is not None or row.finished_at is not None:
        return False
    in_flight = counters.of_broadcast(broadcast_id).states["sending"]
    Broadcast.update(
        stopped_at=now,
        stopped_cancelled=messages.stop(broadcast_id, now),
        stopped_in_flight=in_flight,
    ).where(Broadcast.id == broadcast_id).execute()
    return True


def pause(broadcast_id: int, reason: PauseReason, detail: str | None, now: int) -> bool:
    """Hold a broadcast that has not ended; False if it was paused, stopped or over."""
    query = Broadcast.update(paused_at=now, pause_reason=reason, pause_detail=detail).where(
        (Broadcast.id == broadcast_id)
        & Broadcast.paused_at.is_null()
        & Broadcast.stopped_at.is_null()
        & Broadcast.finished_at.is_null()
    )
    return database.change(query) == 1


def unfinished_of_template(waba_id: str, name: str, language: str) -> list[int]:
    """The broadcasts of a template that have not ended."""
    numbers = Channel.select(Channel.id).where(Channel.waba_id == waba_id)
    query = Broadcast.select(Broadcast.id).where(
        Broadcast.channel_id.in_(numbers)
        & (Broadcast.template_name == name)
        & (Broadcast.template_language == language)
        & Broadcast.finished_at.is_null()
    )
    return [row_id for (row_id,) in database.tuples(query)]


def going() -> list[int]:
    """The broadcasts that are not stopped, paused or over."""
    return [row_id for (row_id,) in database.tuples(Broadcast.select(Broadcast.id).where(_is_going()))]


def unfinished() -> list[int]:
    """The broadcasts that have not ended."""
    query = Broadcast.select(Broadcast.id).where(Broadcast.finished_at.is_null())
    return [row_id for (row_id,) in database.tuples(query)]


def under_way(channel_id: int, now: int) -> list[int]:
    """The broadcasts of a channel that are due and not stopped, paused or over."""
    query = Broadcast.select(Broadcast.id).where(
        (Broadcast.channel_id == channel_id) & (Broadcast.due_at <= now) & _is_going()
    )
    return [row_id for (row_id,) in database.tuples(query)]


def _is_going() -> Any:
    return Broadcast.finished_at.is_null() & Broadcast.stopped_at.is_null() & Broadcast.paused_at.is_null()


def resume(broadcast_id: int) -> bool:
    """Let a paused broadcast go on; False if it was not paused."""
    query = Broadcast.update(paused_at=None, pause_reason=None, pause_detail=None)
    is_paused = (Broadcast.id == broadcast_id) & Broadcast.paused_at.is_null(False)
    return database.change(query.where(is_paused)) == 1


def retry(broadcast_id: int, code: str | None, now: int) -> int:
    """Open a broadcast again for its failed messages; returns how many; none of one that was stopped."""
    database.lock_broadcasts([broadcast_id])
    row = Broadcast.get_by_id(broadcast_id)
    if row.stopped_at is not None:
        return 0
    count = messages.retry(broadcast_id, code, now)
    if count:
        # Somebody wants them sent after all, whatever time was set at first.
        expire_at = row.expire_at if (row.expire_at or now) > now else None
        opened = Broadcast.update(finished_at=None, expire_at=expire_at, forgotten_at=None)
        opened.where(Broadcast.id == broadcast_id).execute()
    return count


def finish(broadcast_ids: Iterable[int], now: int) -> list[int]:
    """Note the end of those in which no message is pending, sending or unknown; returns them."""
    ids = list(broadcast_ids)
    database.lock_broadcasts(ids)
    query = (
        Broadcast.update(finished_at=now)
        .where(
            Broadcast.id.in_(ids)
            & Broadcast.finished_at.is_null()
            & ~message_queries.unfinished(Broadcast.id)
        )
        .returning(Broadcast.id)
    )
    return [broadcast_id for (broadcast_id,) in database.tuples(query)]


def find(public_id: str) -> Broadcast | None:
    return Broadcast.get_or_none(Broadcast.public_id == public_id)


def get(broadcast_id: int) -> Broadcast:
    return Broadcast.get_by_id(broadcast_id)


def rows(broadcast_ids: Iterable[int]) -> list[Broadcast]:
    """These broadcasts, in no order."""
    return list(Broadcast.select().where(Broadcast.id.in_(list(broadcast_ids))))


def channels_of(broadcast_ids: Iterable[int]) -> dict[int, int]:
    """The channel of each of these broadcasts."""
    query = Broadcast.select(Broadcast.id, Broadcast.channel_id)
    return dict(database.tuples(query.where(Broadcast.id.in_(list(broadcast_ids)))))


def page(status: BroadcastStatus | None, before: int | None, limit: int, now: int) -> list[Broadcast]:
    """Broadcasts newest first, before an id, of one status if given."""
    query = Broadcast.select()
    if before is not None:
        query = query.where(Broadcast.id < before)
    if status is not None:
        query = query.where(statuses.has_status(status, now))
    if status in statuses.UNFINISHED:
        # Few go on, and many have ended: their index first, for the newest of all may be none of them.
        other = Broadcast.alias()
        query = query.where(Broadcast.id.in_(other.select(other.id).where(other.finished_at.is_null())))
    return list(query.order_by(Broadcast.id.desc()).limit(limit))


def active_since(time: int) -> list[int]:
    """Broadcasts that may have sent something after a time."""
    started = Broadcast.started_at.is_null(False)
    unfinished = Broadcast.select(Broadcast.id).where(started & Broadcast.finished_at.is_null())
    ended = Broadcast.select(Broadcast.id).where(started & (Broadcast.finished_at >= time))
    return [row_id for (row_id,) in database.tuples(unfinished.union_all(ended))]


@dataclass(frozen=True, slots=True)
class Search:
    """Which broadcasts of an API (`face`) are wanted; times are epoch milliseconds."""

    face: str
    stage: BroadcastStage | None = None
    template: tuple[str, str, str] | None = None
    """Business account, name and language."""
    created_from: int | None = None
    created_before: int | None = None


def search(wanted: Search, offset: int, limit: int) -> tuple[int, list[Broadcast]]:
    """How many broadcasts fit, and one page of them, newest first."""
    query = Broadcast.select().where(Broadcast.face == wanted.face)
    if wanted.stage is not None:
        query = query.where(statuses.has_stage(wanted.stage))
    if wanted.template is not None:
        waba_id, name, language = wanted.template
        numbers = Channel.select(Channel.id).where(Channel.waba_id == waba_id)
        query = query.where(
            (Broadcast.template_name == name)
            & (Broadcast.template_language == language)
            & Broadcast.channel_id.in_(numbers)
        )
    if wanted.created_from is not None:
        query = query.where(Broadcast.created_at >= wanted.created_from)
    if wanted.created_before is not None:
        query = query.where(Broadcast.created_at < wanted.created_before)
    return query.count(), list(query.order_by(Broadcast.id.desc()).offset(offset).limit(limit))


def channels_to_wake(now: int) -> list[int]:
    """Channels nobody sends for that have a due message, or one left in `sending` by a dead worker."""
    sendable = (Broadcast.due_at <= now) & Broadcast.paused_at.is_null() & Broadcast.stopped_at.is_null()
    due = fn.EXISTS(
        Message.select(1).where(
            (Message.broadcast_id == Broadcast.id) & (Message.state == "pending") & (Message.next_at <= now)
        )
    )
    left_behind = fn.EXISTS(
        Message.select(1).where((Message.broadcast_id == Broadcast.id) & (Message.state == "sending"))
    )
    query = (
        Broadcast.select(Broadcast.channel_id)
        .join(Channel, on=(Channel.id == Broadcast.channel_id))
        .where(
            Broadcast.finished_at.is_null() & ((Channel.paused_at.is_null() & sendable & due) | left_behind)
        )
        .distinct()
    )
    return [channel_id for (channel_id,) in database.tuples(query)]


def next_due(now: int) -> int | None:
    """The next time after now at which a waiting broadcast is due."""
    query = Broadcast.select(fn.MIN(Broadcast.due_at)).where(
        Broadcast.finished_at.is_null()
        & Broadcast.paused_at.is_null()
        & Broadcast.stopped_at.is_null()
        & (Broadcast.due_at > now)
    )
    return database.number(query)
