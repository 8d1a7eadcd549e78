"""The worker in process, over a database and answers that can be told to fail."""

import inspect
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from peewee import OperationalError

from broadcaster import config
from broadcaster.clock import epoch_ms
from broadcaster.domain import verdicts
from broadcaster.domain.pacing import Window
from broadcaster.domain.retries import PAIR_MS
from broadcaster.meta import sending as meta_sending
from broadcaster.sandbox import testbed
from broadcaster.services import progress, steering
from broadcaster.settlement import outcomes
from broadcaster.store import allowance, broadcasts, claims, database, leases
from broadcaster.store.leases import PreviousHolder
from broadcaster.store.messages import Draft
from broadcaster.store.models import Broadcast, Channel, Lease, Message
from broadcaster.store.writer import Writer
from broadcaster.vault import open_vault
from broadcaster.worker import channel_jobs, channel_sender, recorder, worker
from broadcaster.worker.windows import Windows
from broadcaster.worker.worker import Worker
from tests.support import edges
from tests.support.channels import add_channel
from tests.support.waiting import wait_until

CONTENT = '{"name":"hello_world","language":{"code":"tr"}}'


@pytest.fixture
def sending(channel_row: Any, settings: config.Settings, tmp_path: Path) -> Iterator[Worker]:
    """A sender beside a sandbox, not started yet."""
    with testbed.sandbox(tmp_path, "--latency", "5") as url:
        settings.graph_url = url
        vault = open_vault(settings.data_dir)
        Channel.update(access_token=vault.lock("t"), pace_override=400).execute()
        made = Worker(settings, vault)
        yield made
        if made.alive:
            made.stop(20)


def accept(channel_row: Any, count: int, series: int = 444) -> Broadcast:
    facts = {
        "public_id": f"b{count}-{series}", "channel_id": channel_row.id, "template_name": "t",
        "template_language": "tr", "priority": 0, "duplicates": 0, "scheduled": False, "due_at": epoch_ms(),
    }  # fmt: skip
    drafts = [Draft(f"+90555{series}{i:04d}", CONTENT) for i in range(count)]
    with database.transaction():
        return broadcasts.accept(facts, drafts, epoch_ms())


def states() -> dict[str, int]:
    found: dict[str, int] = {}
    for row in Message.select(Message.state):
        found[row.state] = found.get(row.state, 0) + 1
    return found


def test_a_database_that_refuses_for_a_while_stops_nobody_for_good(
    sending: Worker, channel_row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    claim, settle = claims.claim, outcomes.settle

    def refuse(really: Any) -> Any:
        def called(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if 3 <= calls <= 9:
                raise OperationalError("database is locked")
            return really(*args)

        return called

    monkeypatch.setattr(claims, "claim", refuse(claim))
    monkeypatch.setattr(outcomes, "settle", refuse(settle))
    accept(channel_row, 300)
    sending.start()
    wait_until(lambda: states() == {"sent": 300})
    assert calls > 9


def test_an_answer_that_cannot_be_stored_spoils_no_other(
    sending: Worker, channel_row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge, seen = verdicts.judge, iter(range(1000))

    def poisonous(status: int, body: bytes) -> verdicts.Verdict:
        if next(seen) == 7:
            return verdicts.Verdict(verdicts.Reaction.FAIL, "1", "half \ud83d")
        return judge(status, body)

    monkeypatch.setattr(verdicts, "judge", poisonous)
    accept(channel_row, 40)
    sending.start()
    wait_until(lambda: states() == {"sent": 39, "unknown": 1})


def test_what_graph_echoes_is_made_storable() -> None:
    body = b'{"error": {"code": 100, "message": "bad \\ud83d and \\u0000"}}'
    assert verdicts.judge(400, body).text == "bad ? and ?"


def test_a_stop_that_finds_messages_in_hand_still_finishes(
    sending: Worker, channel_row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Window, "room", lambda *_: 0)
    row = accept(channel_row, 50)
    sending.start()
    wait_until(lambda: states().get("sending", 0) > 0)
    steering.stop(row.public_id, epoch_ms())
    sending.stop(20)
    assert states() == {"cancelled": 50}
    assert Broadcast.get().finished_at is not None


@pytest.mark.parametrize("why", ["the channel is held", "the worker was frozen"])
def test_what_is_in_hand_is_put_back_when_it_will_be_a_while(
    sending: Worker, channel_row: Any, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(Window, "room", lambda *_: 0)
    accept(channel_row, 20)
    sending.start()
    wait_until(lambda: states().get("sending", 0) > 0)
    if why == "the channel is held":
        monkeypatch.setattr(Window, "is_held", lambda *_: True)
    else:
        # Whoever slept longer than this may have lost the lease meanwhile.
        monkeypatch.setattr(channel_sender, "LEASE_MS", 0)
    wait_until(lambda: states() == {"pending": 20})


def test_whoever_takes_over_spares_those_a_dead_worker_may_just_have_written_to(
    channel_row: Any, tmp_path: Path
) -> None:
    accept(channel_row, 2)
    with database.transaction():
        taken = channel_jobs.take_over(channel_row.id, "dead", tmp_path)
        assert taken is not None
        order = channel_jobs.Order(channel_row.id, "dead", "77", 1, 0, 80, None, None, taken.not_before)
        [taking] = channel_jobs.claim([order])
        leases.release(channel_row.id, "dead")
        again = channel_jobs.take_over(channel_row.id, "another", tmp_path)
    assert taking is not None
    assert again is not None
    [claimed] = taking.claim.messages
    assert again.not_before.keys() == {claimed.person}
    assert again.not_before[claimed.person] >= claimed.claimed_at + PAIR_MS
    assert (again.abandoned, again.previous.claimed_at) == (1, claimed.claimed_at)


def test_workers_share_the_channels_also_when_one_joins_late_or_leaves(
    settings: config.Settings, channel_row: Any
) -> None:
    rows = [channel_row, *[add_channel(str(200 + n)) for n in range(3)]]
    vault = open_vault(settings.data_dir)
    Channel.update(access_token=vault.lock("t"), pace_override=20).execute()
    for row in rows:
        # More than leave while anybody waits for anything below.
        accept(row, 3000, series=500 + row.id)
    with edges.edge(edges.ACCEPTED) as graph, ExitStack() as ending:
        settings.graph_url = graph.url
        first, late = Worker(settings, vault), Worker(settings, vault)
        for one in (first, late):
            ending.callback(lambda worker=one: worker.alive and worker.stop(20))
        first.start()
        wait_until(lambda: list(shared().values()) == [4])
        late.start()
        wait_until(lambda: sorted(shared().values()) == [2, 2])
        first.stop(20)
        wait_until(lambda: list(shared().values()) == [4])
        late.stop(20)
        assert states().keys() == {"pending", "sent"}
        assert graph.taken == states()["sent"]


def holders() -> dict[int, str]:
    """Who sends for each channel."""
    with database.transaction():
        return leases.held(epoch_ms())


def shared() -> dict[str, int]:
    """For how many channels each worker sends."""
    return dict(Counter(holders().values()))


def test_what_was_claimed_by_a_commit_whose_answer_was_lost_waits_again(
    channel_row: Any, tmp_path: Path
) -> None:
    accept(channel_row, 3)
    order = channel_jobs.Order(channel_row.id, "w", "77", 2, 0, 80, 10, None, {})
    with database.transaction():
        assert channel_jobs.take_over(channel_row.id, "w", tmp_path)
        # Durable, and the sender never heard of it.
        channel_jobs.claim([order])
        leases.release(channel_row.id, "w")
    assert states() == {"pending": 1, "sending": 2}
    with database.transaction():
        again = channel_jobs.take_over(channel_row.id, "w", tmp_path)
        assert again is not None
        assert again.abandoned == 0
    assert states() == {"pending": 3}
    assert allowance.people_reached("77", 0) == 0


def test_who_counts_a_portfolios_people_sees_what_others_took_in_the_same_commit(channel_row: Any) -> None:
    other = add_channel("100000000000002")
    for series, row in enumerate((channel_row, other)):
        accept(row, 5, series=500 + series)
    with database.transaction():
        taken = [channel_jobs.take_over(row.id, "w", Path()) for row in (channel_row, other)]
        orders = [
            channel_jobs.Order(row.id, "w", "77", 4, 0, 80, 6, None, {}) for row in (channel_row, other)
        ]
        first, second = channel_jobs.claim(orders)
    assert all(taken)
    assert first is not None
    assert second is not None
    assert (len(first.claim.messages), len(second.claim.messages)) == (4, 2)
    assert (first.room, second.room) == (2, 0)


def test_our_own_window_is_kept_and_anothers_sends_are_waited_for() -> None:
    windows, now, monotonic = Windows("ours"), epoch_ms(), time.monotonic()
    first = windows.window_for(1, 80, PreviousHolder("ours", 0), False, now, monotonic)
    first.slow(1e9)
    again = windows.window_for(1, 80, PreviousHolder("ours", now), False, now, monotonic)
    assert again is first
    assert again.current == 40
    after_another = windows.window_for(1, 80, PreviousHolder("another", now - 500), False, now, monotonic)
    assert after_another is not first
    assert after_another.is_held(monotonic + after_another.length - 0.1)
    assert not after_another.is_held(monotonic + after_another.length)
    long_ago = windows.window_for(2, 80, PreviousHolder("another", now - 60_000), False, now, monotonic)
    assert long_ago.room(time.monotonic()) > 0


@pytest.mark.parametrize(
    "job",
    [
        recorder.settle,
        recorder.hold_all,
        channel_jobs.claim,
        channel_jobs.take_over,
        worker.sweep,
        worker.beat,
    ],
)
def test_jobs_are_functions_of_modules(job: Any) -> None:
    assert inspect.isfunction(job)
    assert job.__qualname__ == job.__name__


def test_the_writer_refuses_a_bound_method() -> None:
    with pytest.raises(TypeError, match="not the method"):
        Writer().submit(Windows("ours").window_for)


def test_a_sender_that_cannot_be_made_leaves_no_lease(
    sending: Worker, channel_row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Channel.update(access_token="locked with another key").execute()
    accept(channel_row, 3)
    sending.start()
    wait_until(lambda: Lease.select().where(Lease.expires_at == 0).exists())
    assert sending.stop(20)
    assert not Lease.select().where(Lease.expires_at > 0).exists()
    assert states() == {"pending": 3}


def test_a_message_that_cannot_be_composed_is_recorded_all_the_same(
    sending: Worker, channel_row: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(*_: Any) -> bytes:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(meta_sending, "compose", spoil)
    accept(channel_row, 3)
    sending.start()
    wait_until(lambda: states() == {"unknown": 3})
    assert sending.stop(20)


def why() -> str | None:
    waiting = progress.of(Broadcast.get().public_id, epoch_ms()).waiting
    return waiting.detail if waiting and waiting.reason == "channel" else None


def test_a_token_that_cannot_be_read_is_why_it_waits_until_it_can(
    sending: Worker, channel_row: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    readable = Channel.get().access_token
    Channel.update(access_token=open_vault(other).lock("t")).execute()
    accept(channel_row, 3)
    sending.start()
    wait_until(lambda: "secret.key" in (why() or ""))
    Channel.update(access_token=readable).execute()
    wait_until(lambda: states() == {"sent": 3})
    wait_until(lambda: Lease.get().trouble is None)


@pytest.mark.parametrize("part", ["take_over", "claim"])
def test_whatever_keeps_a_channel_from_sending_is_told(
    sending: Worker, channel_row: Any, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("unforeseen")

    really = getattr(channel_jobs, part)
    monkeypatch.setattr(channel_jobs, part, fail)
    accept(channel_row, 3)
    sending.start()
    wait_until(lambda: "the log says why" in (why() or ""))
    monkeypatch.setattr(channel_jobs, part, really)
    wait_until(lambda: states() == {"sent": 3})
