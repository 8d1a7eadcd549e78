"""Statuses: the words for where broadcasts and messages stand, derived from their facts.

Each rule stands here twice, for a row in hand and as a condition of a query. The two change together:
tests/store/test_statuses.py compares them.
"""

from functools import reduce
from operator import or_
from typing import get_args

from peewee import Expression, Function, fn

from broadcaster.domain.words import (
    BroadcastStage,
    BroadcastStatus,
    MessageStanding,
    MessageState,
)
from broadcaster.store.counters import OPEN, Counts
from broadcaster.store.models import Broadcast, Channel, Message

STATUSES: tuple[BroadcastStatus, ...] = get_args(BroadcastStatus.__value__)
UNFINISHED: tuple[BroadcastStatus, ...] = ("paused", "sending", "scheduled", "queued")
"""Those of broadcasts that have not ended."""
STAGES: tuple[BroadcastStage, ...] = get_args(BroadcastStage.__value__)
STANDINGS: tuple[MessageStanding, ...] = get_args(MessageStanding.__value__)


def status(row: Broadcast, channel: Channel, counts: Counts, now: int) -> BroadcastStatus:
    """Where a broadcast stands."""
    if row.stopped_at is not None:
        return "cancelled"
    if row.finished_at is not None:
        if not counts.states["failed"]:
            return "completed"
        return "partial" if counts.states["sent"] else "failed"
    if row.paused_at is not None or (channel.paused_at is not None and row.due_at <= now):
        return "paused"
    if row.started_at is not None:
        return "sending"
    return "scheduled" if row.due_at > now else "queued"


def has_status(word: BroadcastStatus, now: int) -> Expression:
    """The condition of a query over broadcasts that status() would answer this word."""
    stopped, finished = Broadcast.stopped_at.is_null(False), Broadcast.finished_at.is_null(False)
    held = fn.EXISTS(
        Channel.select(1).where((Channel.id == Broadcast.channel_id) & Channel.paused_at.is_null(False))
    )
    paused = Broadcast.paused_at.is_null(False) | (held & (Broadcast.due_at <= now))
    started = Broadcast.started_at.is_null(False)
    some_failed, some_sent = _some_in("failed"), _some_in("sent")
    ended, going = ~stopped & finished, ~stopped & ~finished
    conditions: dict[BroadcastStatus, Expression] = {
        "cancelled": stopped,
        "failed": ended & some_failed & ~some_sent,
        "partial": ended & some_failed & some_sent,
        "completed": ended & ~some_failed,
        "paused": going & paused,
        "sending": going & ~paused & started,
        "scheduled": going & ~paused & ~started & (Broadcast.due_at > now),
        "queued": going & ~paused & ~started & (Broadcast.due_at <= now),
    }
    return conditions[word]


def stage(row: Broadcast, counts: Counts) -> BroadcastStage:
    """Where a broadcast stands for APIs to whom a message that a receipt calls failed is a failure."""
    if row.stopped_at is not None:
        return "cancelled"
    if row.finished_at is None:
        return "waiting" if row.started_at is None else "under way"
    if not counts.failed_in_all:
        return "completed"
    return "partial" if counts.sent_in_all else "failed"


def has_stage(word: BroadcastStage) -> Expression:
    """The condition of a query over broadcasts that stage() would answer this word."""
    stopped, finished = Broadcast.stopped_at.is_null(False), Broadcast.finished_at.is_null(False)
    started = Broadcast.started_at.is_null(False)
    some_failed, some_sent = _some_standing("failed"), _some_standing("sent", "delivered", "read")
    ended, going = ~stopped & finished, ~stopped & ~finished
    conditions: dict[BroadcastStage, Expression] = {
        "cancelled": stopped,
        "waiting": going & ~started,
        "under way": going & started,
        "completed": ended & ~some_failed,
        "partial": ended & some_failed & some_sent,
        "failed": ended & some_failed & ~some_sent,
    }
    return conditions[word]


def standing(row: Message) -> MessageStanding:
    """State and delivery of a message in one word."""
    if row.state == "failed" or row.delivery == "failed":
        return "failed"
    if row.state == "cancelled":
        return "cancelled"
    if row.state in OPEN:
        return "pending"
    return row.delivery or "sent"


def has_standing(word: MessageStanding) -> Expression:
    """The condition of a query over messages that standing() would answer this word."""
    failed = (Message.state == "failed") | fn.COALESCE(Message.delivery == "failed", False)
    sent = Message.state == "sent"
    conditions: dict[MessageStanding, Expression] = {
        "failed": failed,
        "cancelled": Message.state == "cancelled",
        "pending": Message.state.in_(OPEN) & ~failed,
        "sent": sent & (Message.delivery.is_null() | (Message.delivery == "sent")),
        "delivered": sent & (Message.delivery == "delivered"),
        "read": sent & (Message.delivery == "read"),
    }
    return conditions[word]


def _some_in(state: MessageState) -> Function:
    found = Message.select(1).where((Message.broadcast_id == Broadcast.id) & (Message.state == state))
    return fn.EXISTS(found)


def _some_standing(*words: MessageStanding) -> Function:
    anyhow = reduce(or_, (has_standing(word) for word in words))
    return fn.EXISTS(Message.select(1).where((Message.broadcast_id == Broadcast.id) & anyhow))
