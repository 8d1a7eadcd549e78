"""Settlement: what becomes of messages, and what follows for everybody else.

Answers of Meta, receipts, claims and sweeps all come through here. `decide` (pure: domain/decide.py for
answers, domain/receipts.py for receipts) says the move; the store's guarded moves carry it out; `follow`
draws the consequences: conversations, opt-outs, holds, events, the end of a broadcast. The caller's
transaction makes all of it one change.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from broadcaster import log
from broadcaster.domain import verdicts
from broadcaster.domain.decide import Claimed, Failed, Lost, Move, PutBack, Sent, decide
from broadcaster.domain.names import Names
from broadcaster.domain.receipts import Receipt
from broadcaster.domain.verdicts import Verdict
from broadcaster.domain.words import Delivery, PauseReason
from broadcaster.settlement import event_documents, lifecycle, opt_outs
from broadcaster.settlement.event_documents import Happening
from broadcaster.store import (
    allowance,
    broadcasts,
    callbacks,
    channels,
    conversations,
    messages,
    people,
    tallies,
)
from broadcaster.store.conversations import SentMessage
from broadcaster.store.messages import Moved
from broadcaster.store.tallies import Counted

RECENT_MS = 15 * 60_000
"""How old a failure may be and still say that the next would fail alike."""

logger = log.get(__name__)


class Answer(NamedTuple):
    """An answer of Meta: the message it is about, what it means, when it came and when its request left
    (epoch milliseconds; None if nothing left)."""

    channel_id: int
    portfolio: str
    message: Claimed
    verdict: Verdict
    at: int
    left_at: int | None = None


class Settled(NamedTuple):
    """What became of one message, as far as it concerns others.

    `has_left` if this is the first that says it was handed over; `is_moved` if it may have been the last of
    its broadcast; `news` is what is new about it; `code` and `text` tell a failure, and `holds` what has to
    be mended before the next message can leave.
    """

    id: int
    broadcast_id: int
    channel_id: int
    recipient: str
    at: int
    source: Literal["answer", "receipt", "sweep"]
    has_left: bool = False
    is_moved: bool = True
    news: Happening | None = None
    code: str | None = None
    text: str | None = None
    holds: PauseReason | None = None


def settle(answers: Sequence[Answer], now: int) -> list[int]:
    """What these answers change; returns the broadcasts that have ended."""
    moves = [decide(one.message, one.verdict, one.at, now, random.random) for one in answers]
    moved = messages.apply(moves)
    if log.is_detailed():
        _log_answers(answers)
    _note_starts(answers)
    _note_reached(answers, moves)
    _learn_names(answers, now)
    counted = [
        Counted("answers", one.channel_id, _OUTCOMES[type(move)])
        for one, move in zip(answers, moves, strict=True)
        if one.message.id in moved
    ]
    early = callbacks.take_early([move.wamid for move in moves if isinstance(move, Sent)])
    answered = [_answered(*pair, moved) for pair in zip(answers, moves, strict=True)]
    # What came before its answer is followed with it, so that a broadcast's end tells of it, too.
    received = _settle_receipts(early, True, now)
    return follow([*answered, *received.settled], now, [*counted, *received.counted])


_OUTCOMES: dict[type[Move], str] = {Sent: "sent", Failed: "failed", PutBack: "put_back", Lost: "lost"}
"""What an answer led to, as tallies call it."""


def _answered(answer: Answer, move: Move, moved: dict[int, Delivery | None]) -> Settled:
    claimed, verdict = answer.message, answer.verdict
    is_moved = claimed.id in moved
    # A receipt that was faster has been told already.
    has_failed = is_moved and isinstance(move, Failed) and moved[claimed.id] != "failed"
    return Settled(
        claimed.id,
        claimed.broadcast_id,
        answer.channel_id,
        claimed.recipient,
        answer.at,
        "answer",
        has_left=is_moved and isinstance(move, Sent),
        news="failed" if has_failed else None,
        code=verdict.code,
        text=verdict.text,
        holds=verdict.reason,
    )


def _note_starts(answers: Iterable[Answer]) -> None:
    """A broadcast started when its first request left, some time after it was claimed."""
    first: dict[tuple[int, int], int] = {}
    for one in answers:
        if one.left_at is not None:
            claim = one.message.broadcast_id, one.message.claimed_at
            first[claim] = min(one.left_at, first.get(claim, one.left_at))
    broadcasts.note_first_requests([(*claim, left_at) for claim, left_at in first.items()])


def _note_reached(answers: Sequence[Answer], moves: Sequence[Move]) -> None:
    """Who was, or may have been, reached costs allowance; what was certainly refused gives it back."""
    reached: list[tuple[str, str, int]] = []
    refused: list[int] = []
    for answer, move in zip(answers, moves, strict=True):
        if isinstance(move, Sent | Lost):
            reached.append((answer.portfolio, answer.message.recipient, answer.at))
        else:
            refused.append(answer.message.id)
    allowance.give_back(refused)
    allowance.reached(reached)


def _learn_names(answers: Iterable[Answer], now: int) -> None:
    """What Meta calls people, where it is not what we call them."""
    told = [(one.message.recipient, one.verdict.wa_id) for one in answers]
    people.join((person, wa_id) for person, wa_id in told if wa_id and person.startswith("+"))
    by_portfolio: dict[str, list[Names]] = {}
    for one in answers:
        if one.verdict.user_id:
            number = one.message.recipient if one.message.recipient.startswith("+") else one.verdict.wa_id
            names = Names(number, one.verdict.user_id, one.verdict.parent_id)
            by_portfolio.setdefault(one.portfolio, []).append(names)
    for portfolio, names_told in by_portfolio.items():
        people.learn(names_told, portfolio, now)


class Received(NamedTuple):
    """How many messages receipts changed, and which broadcasts ended by that."""

    changed: int
    ended: list[int]


def receive(receipts: Sequence[Receipt], now: int, heed_failures: bool = True) -> Received:
    """What these receipts change, whatever order they come in.

    Without `heed_failures` a failure changes its message alone: nobody opts out and nothing is held.
    """
    changed, settled, counted = _settle_receipts(receipts, heed_failures, now)
    return Received(changed, follow(settled, now, counted))


class _SettledReceipts(NamedTuple):
    """How many messages changed, what became of each that receipts are about, and how many came."""

    changed: int
    settled: list[Settled]
    counted: list[Counted]


def _settle_receipts(receipts: Sequence[Receipt], heed_failures: bool, now: int) -> _SettledReceipts:
    if not receipts:
        return _SettledReceipts(0, [], [])
    matched = callbacks.match(receipts, now)
    moved = messages.receive(matched, now)
    if log.is_detailed():
        _log_receipts(moved)
    _learn_recipients(moved, now)
    senders = broadcasts.channels_of({row.broadcast_id for row in moved})
    _note_handed_over(moved, senders, now)
    channel_of = {row.id: senders[row.broadcast_id] for row in moved}
    counted = [
        Counted("receipts", channel_of[one.message_id], one.receipt.status)
        for one in matched
        if one.message_id in channel_of
    ]
    settled = [one for row in moved for one in _received(row, senders[row.broadcast_id], heed_failures, now)]
    return _SettledReceipts(sum(row.is_changed for row in moved), settled, counted)


def _note_handed_over(moved: Iterable[Moved], senders: Mapping[int, int], now: int) -> None:
    """Whom Meta took a message over for costs allowance, though no answer said so, nor ever will."""
    told = [row for row in moved if row.has_left or row.delivery == "failed"]
    portfolios = {one: channels.get(one).portfolio for one in {senders[row.broadcast_id] for row in told}}
    allowance.reached(
        [(portfolios[senders[row.broadcast_id]], row.recipient, _told_at(row, now)) for row in told]
    )


def _told_at(row: Moved, now: int) -> int:
    """When a message that was handed over reached its person, or failed to; no later than now."""
    return min([now, *(failure.at for failure in row.failures)])


def _learn_recipients(moved: Iterable[Moved], now: int) -> None:
    """What Meta calls those our messages went to. Most are called as we call them."""
    told = [row for row in moved if row.names.known not in ((), (row.recipient,))]
    people.join(
        (row.recipient, name)
        for row in told
        for name in row.names.known
        if name.startswith("+") == row.recipient.startswith("+")
    )
    people.learn([_beside(row.recipient, row.names) for row in told], None, now)


def _beside(recipient: str, told: Names) -> Names:
    """Meta's names with ours among them."""
    if recipient.startswith("+"):
        return told._replace(number=recipient)
    return told._replace(user_id=recipient) if told.user_id is None else told


def _received(row: Moved, channel_id: int, heed_failures: bool, now: int) -> Iterator[Settled]:
    """What became of the message, and what each failure of it tells."""
    about = (row.id, row.broadcast_id, channel_id, row.recipient, now)
    yield Settled(*about, "receipt", row.has_left, row.is_moved, row.delivery)
    for failure in row.failures if heed_failures else ():
        holds = _reason_to_hold(failure, now)
        yield Settled(*about, "receipt", is_moved=False, code=failure.code, text=failure.text, holds=holds)


def _reason_to_hold(failure: Receipt, now: int) -> PauseReason | None:
    if failure.at <= now - RECENT_MS or not (failure.code and failure.code.isdecimal()):
        return None
    return verdicts.REASONS.get(int(failure.code))


def close_unknown(window: int, hard_limit: int, now: int) -> list[int]:
    """End what has waited too long for a receipt; returns the broadcasts that ended by that."""
    return _follow_sweep(messages.close_unknown(window, hard_limit, now), now)


def lose_abandoned(channel_id: int, now: int) -> int:
    """Settle what a dead worker left in a channel: it may have left. Returns how many messages."""
    lost = messages.lose_abandoned(channel_id, now)
    # Nobody will say whether, nor when, they were reached.
    portfolio = channels.get(channel_id).portfolio
    allowance.reached([(portfolio, row.recipient, now) for row in lost])
    _follow_sweep(lost, now)
    return len(lost)


def take_back(channel_id: int, now: int) -> int:
    """Put back what was claimed for a channel and has certainly not left. Returns how many messages."""
    back = messages.take_back(channel_id, now)
    allowance.give_back([row.id for row in back])
    _follow_sweep(back, now)
    return len(back)


def follow_refused(rows: Sequence[Moved], now: int) -> list[int]:
    """Follow what a claim refused; returns the broadcasts that ended by that."""
    return _follow_sweep(rows, now)


def _follow_sweep(rows: Sequence[Moved], now: int) -> list[int]:
    if not rows:
        return []
    senders = broadcasts.channels_of({row.broadcast_id for row in rows})
    settled = [
        Settled(
            row.id,
            row.broadcast_id,
            senders[row.broadcast_id],
            row.recipient,
            now,
            "sweep",
            news=row.delivery,
        )
        for row in rows
    ]
    return follow(settled, now)


def follow(settled: Sequence[Settled], now: int, counted: Iterable[Counted] = ()) -> list[int]:
    """What settled messages mean for everybody else; returns the broadcasts that have ended.

    `counted` is added to the tallies with what is counted here.
    """
    _open_conversations([row for row in settled if row.has_left], now)
    _opt_out(settled, now)
    _hold(settled, now)
    _tell(settled, now)
    tallies.add([*counted, *_ends(settled)])
    moved = {row.broadcast_id for row in settled if row.is_moved}
    return lifecycle.finish(moved, now) if moved else []


def _ends(settled: Iterable[Settled]) -> Iterator[Counted]:
    """What was handed over, and what failed, by who said so."""
    for row in settled:
        if row.has_left:
            yield Counted("messages_sent", row.channel_id, row.source)
        if row.news == "failed":
            yield Counted("messages_failed", row.channel_id, row.source)


def _open_conversations(rows: Sequence[Settled], now: int) -> None:
    assigned = conversations.note_sent(
        [SentMessage(row.channel_id, row.recipient, row.at, row.broadcast_id, row.id) for row in rows], now
    )
    event_documents.tell_assigned(assigned, now)


def _opt_out(settled: Iterable[Settled], now: int) -> None:
    """Whom Meta calls opted out gets no more marketing."""
    for source in ("answer", "receipt"):
        people = [row.recipient for row in settled if row.code in verdicts.OPT_OUTS and row.source == source]
        if people:
            opt_outs.suppress(people, "opted out at Meta", source, now)


def _hold(settled: Iterable[Settled], now: int) -> None:
    """Hold what would fail in the same way: the broadcast for its template, else its whole channel."""
    for row in settled:
        if row.holds is None:
            continue
        detail = f"{row.code}: {row.text}"
        if lifecycle.hold(row.holds, channels.get(row.channel_id), row.broadcast_id, detail, now):
            logger.warning("paused", channel=row.channel_id, reason=row.holds, detail=detail)


def _tell(settled: Sequence[Settled], now: int) -> None:
    happenings: dict[Happening, list[int]] = {"sent": [row.id for row in settled if row.has_left]}
    for row in settled:
        if row.news is not None:
            happenings.setdefault(row.news, []).append(row.id)
    event_documents.tell_messages(happenings, now)


def _log_answers(answers: Iterable[Answer]) -> None:
    for one in answers:
        logger.debug(
            "answered",
            channel=one.channel_id,
            broadcast_row=one.message.broadcast_id,
            message=one.message.id,
            attempt=one.message.attempt,
            to=one.message.recipient,
            verdict=one.verdict.reaction.value,
            code=one.verdict.code,
            wamid=one.verdict.wamid,
        )


def _log_receipts(moved: Iterable[Moved]) -> None:
    for row in moved:
        if row.is_changed:
            logger.debug("receipt", message=row.id, broadcast_row=row.broadcast_id, delivery=row.delivery)
