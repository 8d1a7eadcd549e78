"""Those who only look wait for their turn; who sends, and who is told by Meta, does not."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from broadcaster.errors import Busy
from broadcaster.web.courtesy import Courtesy
from tests.support.installation import Field
from tests.support.samples import request_of


def test_two_are_served_some_wait_and_the_rest_is_told_to_come_again() -> None:
    courtesy = Courtesy(share=1, credit_seconds=60, waiting=3)
    inside, go = threading.Semaphore(0), threading.Event()
    counts = {"served": 0, "told": 0}

    def ask() -> None:
        try:
            with courtesy.turn():
                inside.release()
                assert go.wait(20)
            counts["served"] += 1
        except Busy:
            counts["told"] += 1
            inside.release()

    threads = [threading.Thread(target=ask) for _ in range(9)]
    for thread in threads:
        thread.start()
    # Two are in and four are told; three wait, and come in when the first two leave.
    for _ in range(6):
        assert inside.acquire(timeout=20)
    assert counts == {"served": 0, "told": 4}
    go.set()
    for thread in threads:
        thread.join(20)
    assert counts == {"served": 5, "told": 4}


def test_whoever_used_more_than_a_share_is_waited_for_until_it_is_earned_or_told() -> None:
    courtesy = Courtesy(share=0.5, credit_seconds=0, waiting=3)
    courtesy.enter()
    courtesy.leave(0.05)
    with courtesy.turn():
        pass
    courtesy.enter()
    courtesy.leave(600)
    with pytest.raises(Busy):
        courtesy.enter()


def test_a_stream_takes_a_turn_for_each_piece() -> None:
    courtesy = Courtesy(share=1, credit_seconds=60, waiting=0)
    streams = [courtesy.in_turns(iter([b"a", b"b"])) for _ in range(5)]
    assert [next(stream) for stream in streams] == [b"a"] * 5
    assert [b"".join(stream) for stream in streams] == [b"b"] * 5


def test_strangers_without_end_get_a_share_and_callers_are_served(field: Field) -> None:
    here = field.installation()
    field.start(here, "web")
    over = threading.Event()
    statuses: set[int] = set()

    def ask() -> None:
        while not over.is_set():
            answer = requests.get(f"{here.url}/docs", timeout=30)
            statuses.add(answer.status_code)
            assert answer.status_code == 200 or answer.headers["Retry-After"]

    with ThreadPoolExecutor(40) as pool:
        asking = [pool.submit(ask) for _ in range(40)]
        try:
            for _ in range(5):
                assert here.call("POST", "/v1/broadcasts", json=request_of(1)).status_code == 202
                assert requests.get(f"{here.url}/healthz", timeout=30).status_code == 200
        finally:
            over.set()
        for one in asking:
            one.result(60)
    assert statuses <= {200, 503}
    assert requests.get(f"{here.url}/v1/broadcasts", timeout=30).status_code == 401
