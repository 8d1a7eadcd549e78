from broadcaster.domain.breaker import Breaker


def test_the_breaker_trips_on_twenty_alike_at_the_start() -> None:
    breaker = Breaker()
    assert [breaker.trips("132000") for _ in range(20)] == [False] * 19 + [True]


def test_the_breaker_trips_on_half_of_the_last_hundred_alike() -> None:
    breaker = Breaker()
    assert not any(breaker.trips(None) for _ in range(200))
    assert [breaker.trips("132012") for _ in range(50)] == [False] * 49 + [True]


def test_the_breaker_lets_mixed_and_personal_failures_pass() -> None:
    breaker = Breaker()
    for turn in range(500):
        assert not breaker.trips(("131026", "132000", None)[turn % 3])
    breaker = Breaker()
    assert not any(breaker.trips("131026") for _ in range(500))
