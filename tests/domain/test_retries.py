from broadcaster.domain import retries
from tests.support.readme import README


def test_a_refused_message_is_tried_again_after_1_5_25_and_125_seconds() -> None:
    assert [retries.backoff(tries, 0.5) for tries in (1, 2, 3, 4)] == [1000, 5000, 25_000, 125_000]
    assert retries.MOST_TRIES == 5


def test_the_delay_varies_by_a_quarter_to_either_side() -> None:
    assert retries.backoff(1, 0) == 750
    assert retries.backoff(1, 1) == 1250


def test_a_person_written_to_too_often_is_left_alone_for_4_to_the_n_seconds() -> None:
    assert [retries.pair_backoff(tries) for tries in (0, 1, 2, 3)] == [1000, 4000, 16_000, 64_000]


def test_the_readme_says_how_often_and_for_how_long_a_message_is_tried() -> None:
    tries, minutes = retries.MOST_TRIES, round(sum(retries.DELAYS_MS) / 60_000)
    assert f"tried up to {tries} times, within about {minutes} minutes" in " ".join(README.split())
