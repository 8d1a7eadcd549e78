"""What answers tell of the way to Meta: how many requests may be open, and when a channel is held."""

from broadcaster.domain import edge
from broadcaster.domain.edge import FEW, FIRST_OPEN, HOLD_AT, MOST_OPEN, SLOW_AT, Edge


def doubted(times: int, now: float = 100.0) -> Edge:
    made = Edge()
    for _ in range(times):
        made.doubtful(now)
    return made


def test_one_answer_in_doubt_changes_nothing() -> None:
    made = doubted(1)
    assert (made.most_open, made.trouble(100, 1)) == (FIRST_OPEN, None)
    assert made.held_until < 100


def test_a_few_answers_in_doubt_slow_the_channel() -> None:
    made = doubted(SLOW_AT - 1)
    assert made.doubtful(100)
    assert (made.most_open, made.trouble(100, 0)) == (FEW, edge.SLOWED)
    assert made.held_until < 100


def test_some_dozens_in_doubt_hold_it_and_leave_one_at_a_time() -> None:
    made = doubted(HOLD_AT)
    assert made.held_until > 100
    assert (made.most_open, made.most_claimed, made.trouble(100, 0)) == (1, 1, edge.HELD)


def test_what_was_open_when_it_was_held_does_not_lengthen_the_hold() -> None:
    made = doubted(HOLD_AT)
    until = made.held_until
    made.doubtful(until - 0.1)
    assert made.held_until == until


def test_each_probe_in_doubt_holds_it_for_longer_up_to_a_minute() -> None:
    made, lengths = doubted(HOLD_AT), []
    for _ in range(8):
        now = made.held_until
        made.doubtful(now)
        lengths.append(made.held_until - now)
    assert lengths == [4, 8, 16, 32, 60, 60, 60, 60]


def test_a_clear_answer_to_a_probe_lets_a_few_leave_and_more_clear_ones_all() -> None:
    made = doubted(HOLD_AT)
    made.clear(200)
    assert made.most_open == FEW
    for _ in range(HOLD_AT):
        made.clear(200)
    assert (made.most_open, made.trouble(200, 0)) == (FIRST_OPEN, None)


def test_an_edge_that_loses_three_of_four_is_held_and_one_that_loses_half_is_not() -> None:
    def after(lost: int) -> Edge:
        made = Edge()
        for _ in range(200):
            made.clear(100)
            for _ in range(lost):
                made.doubtful(100)
        return made

    assert after(3).trouble(100, 0) == edge.HELD
    assert after(1).trouble(100, 0) is None


def open_and_answer(made: Edge, many: int) -> None:
    for others in range(many):
        made.leaving(100, others)
    for _ in range(many):
        made.clear(100)


def test_as_many_requests_may_be_open_as_are_answered() -> None:
    made, most = Edge(), []
    for _ in range(4):
        most.append(made.most_open)
        open_and_answer(made, made.most_open)
    assert most == [FIRST_OPEN, 8 * FIRST_OPEN, MOST_OPEN, MOST_OPEN]


def test_no_more_may_be_open_than_were_of_use() -> None:
    made = Edge()
    for _ in range(4):
        open_and_answer(made, made.most_open)
    for _ in range(4 * MOST_OPEN):
        open_and_answer(made, 5)
    assert made.most_open == FIRST_OPEN


def test_a_channel_that_never_fills_its_limit_keeps_it() -> None:
    made = Edge()
    for _ in range(1000):
        open_and_answer(made, FIRST_OPEN - 1)
    assert made.most_open == FIRST_OPEN


def test_requests_that_nobody_answers_are_told() -> None:
    made = Edge()
    made.leaving(100, 0)
    made.leaving(104, 1)
    assert made.trouble(100 + edge.SILENT_SECONDS, FIRST_OPEN) is None
    assert made.trouble(101 + edge.SILENT_SECONDS, FIRST_OPEN) == edge.SILENT
    assert made.trouble(101 + edge.SILENT_SECONDS, FIRST_OPEN - 1) is None


def test_an_answer_that_asks_to_wait_is_believed_up_to_a_limit() -> None:
    made = Edge()
    made.asked(100, 30)
    assert (made.held_until, made.trouble(129, 0), made.trouble(130, 0)) == (130, edge.ASKED, None)
    made.asked(100, 5)
    assert made.held_until == 130
    made.asked(100, 1e9)
    assert made.held_until == 100 + edge.LONGEST_ASKED


def test_an_edge_that_cannot_be_reached_holds_for_longer_each_time() -> None:
    made, now, lengths = Edge(), 100.0, []
    for _ in range(7):
        made.unreached(now)
        lengths.append(made.held_until - now)
        now = made.held_until
    assert lengths == [1, 2, 4, 8, 16, 30, 30]
    assert (made.most_open, made.trouble(now, 0)) == (1, edge.UNREACHED)
    made.clear(now)
    assert (made.most_open, made.trouble(now, 0)) == (FIRST_OPEN, None)


def test_who_sends_after_one_in_doubt_begins_with_one_message() -> None:
    assert Edge(is_doubted=True).most_open == 1
