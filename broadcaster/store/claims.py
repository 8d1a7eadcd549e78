"""Claims: which messages of a channel may leave now, by priority, turn, allowance, spacing and opt-outs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from broadcaster.domain.decide import Claimed
from broadcaster.domain.retries import PAIR_MS
from broadcaster.domain.templates import categories, graph_object
from broadcaster.store import allowance, broadcasts, database, leases, message_queries, messages
from broadcaster.store.message_queries import Due
from broadcaster.store.messages import Moved
from broadcaster.store.models import Broadcast, Channel, Template

SUPPRESSED = ("SUPPRESSED", "the person wants no marketing messages")
_NORMAL_FIRST = 5
"""Every so many turns normal priority goes first, so that at least a fifth of the pace is left to it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a claim must respect besides the pace.

    `room` is how many people may be reached who were not in the last 24 h (None: any number),
    `not_before` holds people back who were written to a moment ago (epoch ms).
    """

    portfolio: str
    room: int | None = None
    not_before: Mapping[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Claim:
    """What was claimed; `reserved_by` are those that reach new people, `is_walled` if the allowance ended.

    `passed_over` were due and are not claimed: refused, or put off for their people's sake. `refused` were
    refused by this claim, `started` are the broadcasts that begin with it.
    """

    messages: list[Claimed] = field(default_factory=list)
    reserved_by: list[Claimed] = field(default_factory=list)
    is_walled: bool = False
    passed_over: int = 0
    refused: list[Moved] = field(default_factory=list)
    started: list[int] = field(default_factory=list)
    used_up: list[int] = field(default_factory=list)
    """Broadcasts for which the allowance ended."""

    @property
    def reserved(self) -> int:
        """How many new people it reaches."""
        return len(self.reserved_by)


def claim(
    channel_id: int, owner: str, limit: int, turn: int, pace: float, terms: Terms, now: int, until: int
) -> Claim | None:
    """Take at most `limit` messages of the channel that are due.

    High priority goes first, but every fifth turn normal does; broadcasts of one priority share
    evenly, beginning with the `turn`-th. Renews the lease until `until`; None if another worker
    holds it by now.
    """
    if not leases.renew(channel_id, owner, pace, until):
        return None
    found = Claim()
    groups = _active(channel_id, now) if limit else []
    for actives in reversed(groups) if turn % _NORMAL_FIRST == _NORMAL_FIRST - 1 else groups:
        first = turn % len(actives)
        for place, active in enumerate(actives[first:] + actives[:first]):
            share = -(-(limit - len(found.messages)) // (len(actives) - place))
            if share > 0:
                _claim_of(active, share, terms, now, found)
    messages.claim(found.messages)
    allowance.reserve([(terms.portfolio, one.recipient, now, one.id) for one in found.reserved_by])
    found.is_walled = any(message_queries.has_due(broadcast_id, now) for broadcast_id in found.used_up)
    if found.messages:
        leases.note_claim(channel_id, now)
        found.started = broadcasts.note_start({row.broadcast_id for row in found.messages}, now)
    return found


class _Active(NamedTuple):
    """A broadcast that may send, and how its messages begin where they carry its own template."""

    id: int
    template: str
    is_marketing: bool


def _active(channel_id: int, now: int) -> list[list[_Active]]:
    """The channel's broadcasts that may send, grouped by priority, highest first."""
    # Read at every claim: Meta may change a template's category while a broadcast waits.
    category = Template.select(Template.category).where(
        (Template.waba_id == Channel.waba_id)
        & (Template.name == Broadcast.template_name)
        & (Template.language == Broadcast.template_language)
    )
    query = (
        Broadcast.select(
            Broadcast.priority, Broadcast.id, Broadcast.template_name, Broadcast.template_language, category
        )
        .join(Channel, on=(Channel.id == Broadcast.channel_id))
        .where(
            (Broadcast.channel_id == channel_id)
            & Channel.paused_at.is_null()
            & Broadcast.finished_at.is_null()
            & Broadcast.paused_at.is_null()
            & Broadcast.stopped_at.is_null()
            & (Broadcast.due_at <= now)
            & (Broadcast.expire_at.is_null() | (Broadcast.expire_at > now))
        )
        .order_by(Broadcast.priority.desc(), Broadcast.id)
    )
    groups: dict[int, list[_Active]] = {}
    for priority, broadcast_id, name, language, kind in database.fetch_at_once(query):
        active = _Active(broadcast_id, graph_object.beginning(name, language), categories.is_marketing(kind))
        groups.setdefault(priority, []).append(active)
    return list(groups.values())


def _claim_of(active: _Active, limit: int, terms: Terms, now: int, found: Claim) -> None:
    # Several statements under the write lock, which every transaction of ours opens with.
    room = None if terms.room is None else max(0, terms.room - found.reserved)
    rows = message_queries.due(active.id, limit, terms.portfolio, room, now)
    met = len(rows)
    rows = _willing(active, rows, now, found)
    rows = _rested(rows, terms.not_before, {row.person for row in found.messages})
    found.passed_over += met - len(rows)
    new = {row.message.person: row.message for row in rows if not row.is_known} if room is not None else {}
    found.reserved_by += new.values()
    found.messages += [row.message for row in rows]
    if room is not None and room - len(new) <= 0 and len(rows) < limit:
        found.used_up.append(active.id)


def _willing(active: _Active, rows: list[Due], now: int, found: Claim) -> list[Due]:
    """The rows whose people take what the message carries; marketing to the others fails at once."""
    opted_out = [row.message for row in rows if row.is_suppressed]
    refused = {message.id for message in opted_out if _carries_marketing(active, message)}
    if refused:
        found.refused += messages.refuse(sorted(refused), *SUPPRESSED, now)
    return [row for row in rows if row.message.id not in refused]


def _carries_marketing(active: _Active, message: Claimed) -> bool:
    """Whether the template of the message itself, as it is now, is marketing."""
    if message.content.startswith(active.template):
        return active.is_marketing
    named = graph_object.template_of(message.content)
    if named is None:
        return active.is_marketing
    name, language = named
    query = (
        Template.select(Template.category)
        .join(Channel, on=(Channel.waba_id == Template.waba_id))
        .join(Broadcast, on=(Broadcast.channel_id == Channel.id))
        .where(
            (Broadcast.id == message.broadcast_id) & (Template.name == name) & (Template.language == language)
        )
    )
    return categories.is_marketing(query.scalar())


def _rested(rows: list[Due], not_before: Mapping[int, int], met: set[int]) -> list[Due]:
    """The rows whose people were not written to a moment ago; the others wait until they may be.

    `met` are those whom this very claim has taken.
    """
    kept = []
    for row in rows:
        message = row.message
        soonest = message.claimed_at + PAIR_MS
        # Nobody waits longer than that, whatever the clock showed when they were written to.
        at = soonest if message.person in met else min(soonest, not_before.get(message.person, 0))
        if at > message.claimed_at:
            messages.postpone(message.id, at)
        else:
            met.add(message.person)
            kept.append(row)
    return kept
