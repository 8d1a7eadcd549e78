import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.domain import pacing
from broadcaster.domain.pacing import Window


@pytest.mark.parametrize(
    ("throughput", "coexistence", "tier", "pace"),
    [
        ("STANDARD", False, "TIER_50", 0.83),
        ("STANDARD", False, "TIER_250", 4.17),
        ("STANDARD", False, "TIER_1K", 16.67),
        ("STANDARD", False, "TIER_2K", 33.33),
        ("STANDARD", False, "TIER_10K", 80),
        ("HIGH", False, "TIER_UNLIMITED", 1000),
        ("HIGH", False, "TIER_2K", 33.33),
        ("STANDARD", True, "TIER_100K", 20),
        (None, False, "TIER_100K", 80),
    ],
)
def test_pace_is_the_least_of_throughput_and_tier(
    throughput: str | None, coexistence: bool, tier: str, pace: float
) -> None:
    assert pacing.pace_of(throughput, coexistence, tier) == pytest.approx(pace, abs=0.01)


def test_an_override_wins() -> None:
    assert pacing.pace_of("STANDARD", False, "TIER_250", 500) == 500


@pytest.mark.parametrize("tier", [None, "", "TIER_NOT_SET", "TIER_X"])
def test_an_unknown_tier_is_the_default(tier: str | None) -> None:
    assert pacing.known_tier(tier, "TIER_250") == "TIER_250"


def test_tier_sizes() -> None:
    assert [pacing.tier_size(t) for t in ("TIER_250", "TIER_2K", "TIER_1000", "TIER_UNLIMITED")] == [
        250, 2000, 1000, None,
    ]  # fmt: skip


def leave_as_fast_as_allowed(pace: float, seconds: float, stall: float = 0) -> list[float]:
    """Departure times of a window that is asked every two milliseconds, with one stall."""
    now, window, left = 0.0, Window(pace, 0.0), []
    while now < seconds:
        room = window.room(now)
        window.take(room)
        for _ in range(room):
            window.left(now)
        left += [now] * room
        now += 0.002 + (stall if room and len(left) == 20 else 0)
    return left


@given(
    st.sampled_from([0.83, 1, 4.17, 16.7, 20, 33.3, 80, 250]),
    st.sampled_from([0, 0.05, 0.4, 1.5]),
)
def test_no_sliding_second_carries_more_than_the_pace(pace: float, stall: float) -> None:
    left = leave_as_fast_as_allowed(pace, 6, stall)
    most = max(1, int(pace))
    for first, beyond in zip(left, left[most:], strict=False):
        assert beyond - first >= 1.0


def test_a_pace_of_80_is_held_at_98_percent() -> None:
    left = leave_as_fast_as_allowed(80, 30)
    assert left[1999] <= 25 * 1.02


@pytest.mark.parametrize("pace", [20, 80, 250, 1000])
def test_nothing_waits_for_longer_than_a_quarter_of_a_second(pace: float) -> None:
    left = leave_as_fast_as_allowed(pace, 10)
    assert max(after - before for before, after in itertools.pairwise(left)) <= 0.25


def test_a_stall_is_made_up_for_within_the_second() -> None:
    assert leave_as_fast_as_allowed(80, 12, 0.1)[800] == pytest.approx(
        leave_as_fast_as_allowed(80, 12)[800], abs=0.02
    )


def test_places_count_until_their_bytes_have_left() -> None:
    window = Window(2, 0.0)
    window.take(2)
    assert window.room(10.0) == 0
    window.left(10.0)
    window.give_back()
    assert window.room(10.5) == 1
    window.take()
    assert window.room(10.9) == 0


def test_throttling_halves_once_a_second_and_recovers_slowly() -> None:
    window = Window(80, 0.0)
    window.slow(1.0)
    window.slow(1.1)
    assert window.current == 40
    window.slow(2.1)
    assert window.current == 20
    window.recover(60.0, 1.0)
    assert window.current == 20, "silence is no proof that throttling has stopped"
    window.passed(3.0)
    window.recover(4.0, 1.0)
    assert window.current == 20
    window.recover(4.2, 1.0)
    assert window.current == 36
    window.recover(100.0, 100.0)
    assert window.current == 80


def test_the_first_message_waits_for_no_place_however_low_the_pace() -> None:
    assert Window(0.01, 5.0).room(5.0) == 1


def test_a_new_pace_keeps_the_proportion_of_what_was_slowed() -> None:
    window = Window(80, 0.0)
    window.slow(1.0)
    window.set_pace(1000)
    assert (window.base, window.current) == (1000, 500)


def test_nothing_leaves_during_a_hold() -> None:
    window = Window(80, 0.0)
    window.hold(3.0)
    assert window.room(2.9) == 0
    assert window.is_held(2.9)
    assert window.wait(2.0) == pytest.approx(1.0)
    assert not window.is_held(3.0)
    assert window.room(3.1) > 0


@given(st.sampled_from([40, 80, 250, 1000]))
def test_what_leaves_at_once_is_at_most_a_fortieth_of_a_second(pace: float) -> None:
    left = leave_as_fast_as_allowed(pace, 3, 1.0)
    assert max(left.count(moment) for moment in set(left)) <= pace / 40


def test_a_place_is_foreseen_only_once_the_bytes_before_it_have_left() -> None:
    window = Window(1, 0.0)
    window.take()
    assert not window.opens_within(100.0, 10.0)
    window.left(10.0)
    assert not window.opens_within(0.1, 10.5)
    assert window.opens_within(0.1, 11.0)
