"""Claims: which messages of a channel may leave now, by priority, turn, allowance, spacing and opt-outs."""

from collections.abc import Mapping, Sequence
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


class Ask(NamedTuple):
    """A channel's wish for at most `limit` messages.

    High priority goes first, but every fifth `turn` normal does; broadcasts of one priority share evenly,
    beginning with the `turn`-th. `owner` holds the channel's lease, `pace` is what it sends at.
    """

    channel_id: int
    owner: str
    limit: int
    turn: int
    pace: float
    terms: Terms


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


def claim(asks: Sequence[Ask], now: int, until: int) -> list[Claim | None]:
    """Take messages that are due, for channels that differ; what was taken for each.

    Renews the leases until `until`; None where another worker holds it by now. Where several channels of a
    portfolio ask at once, none sees what another takes: their rooms must have it all.
    """
    held = leases.renew([(ask.channel_id, ask.owner, ask.pace) for ask in asks], until)
    active = _active([ask.channel_id for ask in asks if ask.channel_id in held and ask.limit], now)
    taken = {
        ask.channel_id: _claim_for(ask, active.get(ask.channel_id, {}), now)
        for ask in asks
        if ask.channel_id in held
    }
    messages.claim([message for found in taken.values() for message in found.messages])
    _reserve(asks, taken, now)
    _note(taken, now)
    return [taken.get(ask.channel_id) for ask in asks]


def _claim_for(ask: Ask, active: Mapping[int, list["_Active"]], now: int) -> Claim:
    """What one channel takes; `active` are its broadcasts by their priority, highest first."""
    found = Claim()
    groups = list(active.values())
    for actives in reversed(groups) if ask.turn % _NORMAL_FIRST == _NORMAL_FIRST - 1 else groups:
        first = ask.turn % len(actives)
        for place, one in enumerate(actives[first:] + actives[:first]):
            share = -(-(ask.limit - len(found.messages)) // (len(actives) - place))
            if share > 0:
                _claim_of(one, share, ask.terms, now, found)
    return found


def _reserve(asks: Sequence[Ask], taken: Mapping[int, Claim], now: int) -> None:
    """Reserve the allowance for the new people that messages reach, each for the first of them."""
    firsts: dict[tuple[str, int], tuple[str, str, int, int]] = {}
    for ask in asks:
        portfolio = ask.terms.portfolio
        for one in taken[ask.channel_id].reserved_by if ask.channel_id in taken else ():
            firsts.setdefault((portfolio, one.person), (portfolio, one.recipient, now, one.id))
    allowance.reserve(list(firsts.values()))


def _note(taken: Mapping[int, Claim], now: int) -> None:
    """Note who claimed, and which broadcasts begin with it; see whom the allowance keeps waiting."""
    claiming = [channel_id for channel_id, found in taken.items() if found.messages]
    if claiming:
        leases.note_claims(claiming, now)
        sending = {message.broadcast_id for found in taken.values() for message in found.messages}
        started = broadcasts.note_start(sending, now)
        for found in taken.values():
            here = {message.broadcast_id for message in found.messages} if started else ()
            found.started = [one for one in started if one in here]
    for found in taken.values():
        found.is_walled = any(message_queries.has_due(broadcast_id, now) for broadcast_id in found.used_up)


class _Active(NamedTuple):
    """A broadcast that may send, and how its messages begin where they carry its own template."""

    id: int
    template: str
    is_marketing: bool


# In full, for peewee takes longer to write it than SQLite to answer it. The category is read at every claim:
# Meta may change a template's while a broadcast waits.
_ACTIVE = (
    "SELECT broadcast.channel_id, broadcast.priority, broadcast.id, broadcast.template_name,"
    " broadcast.template_language, (SELECT template.category FROM template"
    " WHERE template.waba_id = channel.waba_id AND template.name = broadcast.template_name"
    " AND template.language = broadcast.template_language)"
    " FROM broadcast JOIN channel ON channel.id = broadcast.channel_id"
    " WHERE broadcast.channel_id IN ({channels}) AND channel.paused_at IS NULL"
    " AND broadcast.finished_at IS NULL AND broadcast.paused_at IS NULL AND broadcast.stopped_at IS NULL"
    " AND broadcast.due_at <= :now AND (broadcast.expire_at IS NULL OR broadcast.expire_at > :now)"
    " ORDER BY broadcast.id{locking}"
)
_ACTIVE_COLUMNS = 6


def _active(channel_ids: Sequence[int], now: int) -> dict[int, dict[int, list[_Active]]]:
    """The broadcasts of channels that may send, grouped by channel and by priority, highest first."""
    if not channel_ids:
        return {}
    channels = {f"c{place}": channel_id for place, channel_id in enumerate(channel_ids)}
    sql = _ACTIVE.replace("{channels}", ", ".join(f":{name}" for name in channels))
    sql = sql.replace("{locking}", database.locking())
    found: dict[int, dict[int, list[_Active]]] = {}
    rows = database.fetch_named_at_once(sql, {**channels, "now": now}, _ACTIVE_COLUMNS)
    # Locked in the order of their ids, as everywhere; then the highest priority first.
    for channel_id, priority, broadcast_id, name, language, kind in sorted(rows, key=lambda row: -row[1]):
        active = _Active(broadcast_id, graph_object.beginning(name, language), categories.is_marketing(kind))
        found.setdefault(channel_id, {}).setdefault(priority, []).append(active)
    return found


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
