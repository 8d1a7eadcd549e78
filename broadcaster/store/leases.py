"""Leases: only one worker sends for a channel; and the workers' heartbeats."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from broadcaster.store import database
from broadcaster.store.models import Lease, Worker


class PreviousHolder(NamedTuple):
    """Who held a lease before, when the channel last claimed (0 for never), and what kept it from sending at
    last."""

    owner: str
    claimed_at: int
    trouble: str | None = None


def take(
    channel_id: int, owner: str, pace: float, dead: Iterable[str], now: int, until: int
) -> PreviousHolder | None:
    """Take the lease if it is free, run out, our own or one of the dead's; None if another holds it."""
    held = Lease.get_or_none(Lease.channel_id == channel_id)
    if held is None:
        return PreviousHolder(owner, 0) if _begin(channel_id, owner, pace, until) else None
    if held.owner != owner and held.expires_at > now and held.owner not in dead:
        return None
    # What troubled the one before us is told until we know better.
    taken = Lease.update(owner=owner, expires_at=until, pace=pace)
    # Somebody else may have taken it since the look.
    as_seen = (Lease.owner == held.owner) & (Lease.expires_at == held.expires_at)
    if not database.change(taken.where((Lease.channel_id == channel_id) & as_seen)):
        return None
    return PreviousHolder(held.owner, held.claimed_at, held.trouble)


def _begin(channel_id: int, owner: str, pace: float, until: int) -> bool:
    """The first lease of a channel; False if somebody else made it in this moment."""
    made = database.change_rows(
        "INSERT INTO lease (channel_id, owner, expires_at, claimed_at, pace)"
        " SELECT v.channel_id, v.owner, v.expires_at, v.claimed_at, v.pace FROM v WHERE 1 = 1"
        " ON CONFLICT (channel_id) DO NOTHING",
        ("channel_id", "owner", "expires_at", "claimed_at", "pace"),
        [(channel_id, owner, until, 0, pace)],
    )
    return made == 1


def renew(rows: Sequence[tuple[int, str, float]], until: int) -> set[int]:
    """Keep leases; rows are (channel, owner, pace). Returns the channels whose lease is still its owner's."""
    kept = database.change_rows(
        "UPDATE lease SET expires_at = v.until, pace = v.pace FROM v"
        " WHERE lease.channel_id = v.channel_id AND lease.owner = v.owner",
        ("channel_id", "owner", "pace", "until"),
        [(*row, until) for row in rows],
    )
    return _held({channel_id: owner for channel_id, owner, _ in rows}, kept)


def keep(rows: Sequence[tuple[int, str, float, str | None]], until: int) -> set[int]:
    """The same, saying what keeps the holder from sending, if anything; rows are (channel, owner, pace,
    trouble)."""
    kept = database.change_rows(
        "UPDATE lease SET expires_at = v.until, pace = v.pace, trouble = v.trouble FROM v"
        " WHERE lease.channel_id = v.channel_id AND lease.owner = v.owner",
        ("channel_id", "owner", "pace", "trouble", "until"),
        [(*row, until) for row in rows],
    )
    return _held({channel_id: owner for channel_id, owner, *_ in rows}, kept)


def _held(owners: dict[int, str], kept: int) -> set[int]:
    """The channels whose lease is its owner's, of which so many were found."""
    if kept == len(owners):
        return set(owners)
    query = Lease.select(Lease.channel_id, Lease.owner).where(Lease.channel_id.in_(list(owners)))
    return {channel_id for channel_id, owner in database.tuples(query) if owners[channel_id] == owner}


def fail(channel_id: int, owner: str, trouble: str) -> None:
    """Let go of the lease and say what kept us from sending, until somebody can."""
    Lease.insert(
        channel_id=channel_id, owner=owner, expires_at=0, claimed_at=0, pace=1, trouble=trouble
    ).on_conflict(
        conflict_target=[Lease.channel_id],
        update={Lease.expires_at: 0, Lease.trouble: trouble},
        where=(Lease.owner == owner),
    ).execute()


def trouble(channel_id: int) -> str | None:
    """What keeps the channel's sender from sending, or kept it when it last tried."""
    held = Lease.get_or_none(Lease.channel_id == channel_id)
    return held.trouble if held else None


def note_claims(channel_ids: Sequence[int], now: int) -> None:
    """Something may leave now: whoever sends next keeps the pace over the change of hands."""
    Lease.update(claimed_at=now).where(Lease.channel_id.in_(channel_ids)).execute()


def release(channel_id: int, owner: str, trouble: str | None = None) -> None:
    """Let go at once; when the channel last claimed and what kept it from sending at last stay on record."""
    query = Lease.update(expires_at=0, trouble=trouble)
    query.where((Lease.channel_id == channel_id) & (Lease.owner == owner)).execute()


def held(now: int) -> dict[int, str]:
    """The channels that are being sent for, and by whom."""
    query = Lease.select(Lease.channel_id, Lease.owner).where(Lease.expires_at > now)
    return dict(database.tuples(query))


def alive(since: int) -> int:
    """How many workers have shown themselves since a time."""
    return int(Worker.select().where(Worker.seen_at >= since).count())


def paces(now: int) -> dict[int, float]:
    """The current pace of every channel that is being sent for."""
    query = Lease.select(Lease.channel_id, Lease.pace).where(Lease.expires_at > now)
    return {channel_id: pace for channel_id, pace in database.tuples(query)}


def beat(worker_id: str, host: str, pid: int, now: int) -> None:
    """Show that this worker lives."""
    updated = Worker.update(seen_at=now).where(Worker.id == worker_id).execute()
    if not updated:
        Worker.create(id=worker_id, host=host, pid=pid, started_at=now, seen_at=now)


def leave(worker_id: str) -> None:
    Worker.delete().where(Worker.id == worker_id).execute()


def workers() -> list[Worker]:
    return list(Worker.select().order_by(Worker.started_at))


def last_beat() -> int | None:
    """When a worker last showed itself."""
    newest = Worker.select(Worker.seen_at).order_by(Worker.seen_at.desc()).first()
    return newest.seen_at if newest else None


def forget_workers(seen_before: int) -> None:
    Worker.delete().where(Worker.seen_at < seen_before).execute()


def forget_all() -> None:
    """No worker runs here, and none holds a lease."""
    Worker.delete().execute()
    Lease.update(expires_at=0, trouble=None).execute()


def holders() -> list[str]:
    """Owners named on any lease, alive or not."""
    return [owner for (owner,) in database.tuples(Lease.select(Lease.owner).distinct())]
