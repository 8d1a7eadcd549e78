"""What becomes of a message after an answer. Pure: a claimed message and a verdict in, a move out.

The number of tries and the delays are those of `retries`; what a code means is `verdicts`.
"""

from collections.abc import Callable
from typing import NamedTuple

from broadcaster.domain import retries, verdicts
from broadcaster.domain.verdicts import Verdict


class Sent(NamedTuple):
    """sending | unknown -> sent: Meta took it over and gave it an id."""

    id: int
    attempt: int
    settled_at: int
    wamid: str
    sent_at: int


class Failed(NamedTuple):
    """sending | unknown -> failed: a final answer, or the last try."""

    id: int
    attempt: int
    settled_at: int
    code: str | None
    text: str | None


class PutBack(NamedTuple):
    """sending | unknown -> pending: certainly refused, or it never left. `tries` is 1 if that used up a try,
    else 0."""

    id: int
    attempt: int
    settled_at: int
    code: str | None
    text: str | None
    next_at: int
    tries: int


class Lost(NamedTuple):
    """sending -> unknown: it may have left."""

    id: int
    attempt: int
    settled_at: int
    code: str | None
    text: str | None


Move = Sent | Failed | PutBack | Lost


class Claimed(NamedTuple):
    """A message in our hands: enough to send it and to settle it. `claimed_at` is epoch milliseconds.

    `person` tells people apart: the contact's id, or a number below 0 where nobody is known by the name.
    """

    id: int
    attempt: int
    tries: int
    broadcast_id: int
    recipient: str
    content: str
    claimed_at: int
    person: int = 0


def decide(message: Claimed, verdict: Verdict, at: int, now: int, jitter: Callable[[], float]) -> Move:
    """The move of a message whose answer came at `at` and is written at `now` (epoch milliseconds).

    `jitter` returns a number from 0 to 1, so that messages refused together do not return together.
    """
    mark = (message.id, message.attempt, now)
    reaction = verdict.reaction
    if reaction is verdicts.Reaction.SENT:
        return Sent(*mark, verdict.wamid or "", at)
    if reaction is verdicts.Reaction.LOST:
        return Lost(*mark, verdict.code, verdict.text)
    costs_a_try = reaction in (verdicts.Reaction.RETRY, verdicts.Reaction.PAIR)
    if reaction is verdicts.Reaction.FAIL or (costs_a_try and message.tries + 1 >= retries.MOST_TRIES):
        return Failed(*mark, verdict.code, verdict.text)
    # The clock may have been set back since the answer came.
    next_at = min(at, now) + _delay(message, reaction, jitter)
    return PutBack(*mark, verdict.code, verdict.text, next_at, int(costs_a_try))


def _delay(message: Claimed, reaction: verdicts.Reaction, jitter: Callable[[], float]) -> int:
    """Milliseconds until a message that was put back may be claimed again."""
    if reaction is verdicts.Reaction.RETRY:
        return retries.backoff(message.tries + 1, jitter())
    if reaction is verdicts.Reaction.PAIR:
        return retries.pair_backoff(message.tries)
    if reaction in (verdicts.Reaction.PAUSE, verdicts.Reaction.RETURNED):
        return 0
    return retries.THROTTLED_MS
