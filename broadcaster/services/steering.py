"""Steering: stop, pause, resume or retry an accepted broadcast."""

from broadcaster.services import progress
from broadcaster.services.progress import Progress
from broadcaster.settlement import lifecycle
from broadcaster.store import broadcasts, channels, database
from broadcaster.worker.schedule import Schedule


def stop(public_id: str, now: int) -> Progress:
    """Cancel what has not left. Doing it twice, or after the end, changes nothing; raises NotFound."""
    row = progress.facts(public_id)
    with database.transaction():
        lifecycle.stop(row.id, now)
    return progress.of(public_id, now)


def pause(public_id: str, now: int) -> Progress:
    """Hold a broadcast back until it is resumed; raises NotFound."""
    row = progress.facts(public_id)
    with database.transaction():
        lifecycle.pause(row.id, "paused", None, now)
    return progress.of(public_id, now)


def resume(public_id: str, schedule: Schedule, now: int) -> Progress:
    """Let a paused broadcast go on, whatever paused it, its channel included; raises NotFound."""
    row = progress.facts(public_id)
    with database.transaction():
        if broadcasts.resume(row.id) | channels.resume(row.channel_id):
            schedule.wake_at(row.channel_id, row.due_at if row.due_at > now else None)
    return progress.of(public_id, now)


def retry(public_id: str, code: str | None, schedule: Schedule, now: int) -> tuple[Progress, int]:
    """Send failed messages again, all or those with a code; returns also how many; raises NotFound.

    What may have been delivered (OUTCOME_UNKNOWN) goes only when asked for by that code, and is
    marked as a possible duplicate.
    """
    row = progress.facts(public_id)
    with database.transaction():
        count = broadcasts.retry(row.id, code, now)
        if count:
            schedule.wake_at(row.channel_id, None)
    if count:
        schedule.wake(row.channel_id)
    return progress.of(public_id, now), count
