"""Idempotency keys: the answer first given under each."""

from broadcaster.store import database
from broadcaster.store.models import Broadcast, Idempotency


def lock(token_id: str, key: str) -> None:
    """Nobody else answers under this key until the transaction ends."""
    database.lock_name("idempotency", token_id, key)


def recall(token_id: str, key: str) -> Idempotency | None:
    """The answer first given under a caller's key."""
    return Idempotency.get_or_none((Idempotency.token_id == token_id) & (Idempotency.key == key))


def remember(token_id: str, key: str, fingerprint: str, broadcast_id: int, answer: str, now: int) -> None:
    Idempotency.create(
        token_id=token_id,
        key=key,
        fingerprint=fingerprint,
        broadcast_id=broadcast_id,
        answer=answer,
        created_at=now,
    )


def forget_keys_of(broadcast_id: int) -> None:
    """Drop the keys a broadcast was asked for with."""
    with database.transaction():
        Idempotency.delete().where(Idempotency.broadcast_id == broadcast_id).execute()


def forget_keys(ended_before: int) -> int:
    """Drop the keys of broadcasts that ended before a time."""
    ended = Broadcast.select(Broadcast.id).where(Broadcast.finished_at < ended_before)
    with database.transaction():
        return database.change(Idempotency.delete().where(Idempotency.broadcast_id.in_(ended)))
