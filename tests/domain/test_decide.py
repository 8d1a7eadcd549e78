"""What becomes of a message after an answer: the move, the try it costs, and when it may go again."""

from typing import Any

import pytest

from broadcaster.domain import retries
from broadcaster.domain.decide import Claimed, Failed, Lost, PutBack, Sent, decide
from broadcaster.domain.verdicts import LOST, RETURNED, UNREACHED, Reaction, Verdict

AT, NOW = 1_000_000, 1_000_050


def claimed(tries: int = 0) -> Claimed:
    return Claimed(7, 2, tries, 1, "+905554440000", "{}", AT - 40)


def middle() -> float:
    return 0.5


def after(verdict: Verdict, tries: int = 0) -> Any:
    return decide(claimed(tries), verdict, AT, NOW, middle)


def test_what_meta_took_over_is_sent_at_the_time_of_its_answer() -> None:
    assert after(Verdict(Reaction.SENT, wamid="wamid.1")) == Sent(7, 2, NOW, "wamid.1", AT)


def test_a_final_refusal_fails_and_a_missing_answer_loses() -> None:
    assert after(Verdict(Reaction.FAIL, "131026", "no")) == Failed(7, 2, NOW, "131026", "no")
    assert after(LOST) == Lost(7, 2, NOW, "NO_ANSWER", LOST.text)


@pytest.mark.parametrize("tries", range(retries.MOST_TRIES - 1))
def test_a_passing_refusal_costs_a_try_and_waits_longer_each_time(tries: int) -> None:
    move = after(Verdict(Reaction.RETRY, "131016", "busy"), tries)
    assert move == PutBack(7, 2, NOW, "131016", "busy", AT + retries.DELAYS_MS[tries], 1)


@pytest.mark.parametrize("reaction", [Reaction.RETRY, Reaction.PAIR])
def test_the_last_try_fails(reaction: Reaction) -> None:
    last = after(Verdict(reaction, "131016", "busy"), retries.MOST_TRIES - 1)
    assert isinstance(last, Failed)


def test_a_clock_set_back_since_the_answer_lengthens_no_wait() -> None:
    move = decide(claimed(), Verdict(Reaction.RETRY, "131016", "busy"), AT, AT - 3_600_000, middle)
    assert isinstance(move, PutBack)
    assert move.next_at == AT - 3_600_000 + retries.DELAYS_MS[0]


def test_one_person_written_to_too_often_waits_alone() -> None:
    assert after(Verdict(Reaction.PAIR, "131056"), 1).next_at == AT + 4000


@pytest.mark.parametrize(
    ("verdict", "wait"),
    [
        (Verdict(Reaction.SLOW, "130429"), 1000),
        (UNREACHED, 1000),
        (RETURNED, 0),
        (Verdict(Reaction.PAUSE, "190", reason="token"), 0),
    ],
    ids=["throttled", "unreachable", "returned", "paused"],
)
def test_what_is_no_fault_of_the_message_costs_no_try(verdict: Verdict, wait: int) -> None:
    move = after(verdict, retries.MOST_TRIES - 1)
    assert (move.next_at, move.tries) == (AT + wait, 0)


def test_every_reaction_has_a_move() -> None:
    for reaction in Reaction:
        assert isinstance(after(Verdict(reaction)), Sent | Failed | PutBack | Lost)
