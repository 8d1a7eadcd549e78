"""Accept a planned broadcast, once, whatever API it came through."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from broadcaster import log
from broadcaster.domain import strict_json
from broadcaster.errors import KeyReused
from broadcaster.services import progress
from broadcaster.services.planning import Plan
from broadcaster.services.progress import Progress
from broadcaster.settlement import lifecycle
from broadcaster.store import broadcasts, database, idempotency, tallies
from broadcaster.store.models import Broadcast
from broadcaster.store.tallies import Counted
from broadcaster.worker.schedule import Schedule

HIGH, NORMAL = 1, 0

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Once:
    """A caller's wish that a request be carried out once, however often it comes."""

    token_id: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A broadcast that is stored: its id, and the answer as it was first given."""

    id: str
    answer: str
    is_replay: bool = False


def replay(once: Once) -> Accepted | None:
    """The answer given when this request first came, or None; raises KeyReused for another request."""
    first = idempotency.recall(once.token_id, once.key)
    if first is None:
        return None
    if first.fingerprint != once.fingerprint:
        raise KeyReused("this Idempotency-Key was used for a different request")
    return Accepted(broadcasts.get(first.broadcast_id).public_id, first.answer, is_replay=True)


def submit(
    accepted: Plan,
    schedule: Schedule,
    render: Callable[[Progress], str],
    now: int,
    token_id: str | None = None,
    once: Once | None = None,
    public_id: str | None = None,
) -> Accepted:
    """Store a planned broadcast and ring for it, in one transaction.

    `render` makes the answer that is given, and given again under the same key.
    """
    facts = _facts(accepted, public_id or str(uuid.uuid4()), token_id, now)
    with database.transaction():
        # Asked again with the key locked: the same request may have come twice at once.
        if once:
            idempotency.lock(once.token_id, once.key)
        first = replay(once) if once else None
        if first is not None:
            return first
        task_id = schedule.wake_at(accepted.channel.id, accepted.spec.due_at)
        row = broadcasts.accept({**facts, "task_id": task_id}, accepted.drafts, now)
        _count(row, accepted)
        lifecycle.finish([row.id], now)
        answer = render(progress.of_each([broadcasts.get(row.id)], now)[0])
        if once:
            idempotency.remember(once.token_id, once.key, once.fingerprint, row.id, answer, now)
    logger.info(
        "broadcast.accepted",
        broadcast=row.public_id,
        broadcast_row=row.id,
        channel=accepted.channel.phone_number_id,
        messages=len(accepted.drafts),
    )
    if row.due_at <= now:
        schedule.wake(accepted.channel.id)
    return Accepted(row.public_id, answer)


def _count(row: Broadcast, accepted: Plan) -> None:
    tallies.add(
        (
            Counted("broadcasts_accepted", row.channel_id),
            Counted("messages_accepted", row.channel_id, many=len(accepted.drafts)),
        )
    )


def _facts(accepted: Plan, public_id: str, token_id: str | None, now: int) -> broadcasts.Facts:
    spec = accepted.spec
    return {
        "public_id": public_id,
        "channel_id": accepted.channel.id,
        "token_id": token_id,
        "title": spec.title,
        "template_name": accepted.template,
        "template_language": accepted.language,
        "priority": spec.priority,
        "metadata": None if spec.metadata is None else strict_json.dumps(spec.metadata),
        "duplicates": accepted.duplicates,
        "scheduled": spec.due_at is not None,
        "due_at": now if spec.due_at is None else spec.due_at,
        "face": spec.face,
        "face_data": None if spec.face_data is None else strict_json.dumps(spec.face_data),
        "action_key": spec.action.key if spec.action else None,
        "action_value": spec.action.value if spec.action else None,
        "on_unknown": spec.on_unknown,
        "expire_at": spec.expire_at,
    }
