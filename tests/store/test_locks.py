"""What one write lock keeps apart on SQLite, and locks by row and name on PostgreSQL."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from broadcaster.settlement import event_documents, lifecycle, outcomes
from broadcaster.store import broadcasts, database, leases, messages, webhooks
from broadcaster.store.models import Broadcast, EventDelivery, Message
from tests.support.broadcasts import accepted, claim, mark, states
from tests.support.databases import migrate_at_once
from tests.support.samples import NOW

pytestmark = pytest.mark.postgres


def together(*works: Callable[[], Any]) -> list[Any]:
    """What works give that begin at once, each on a connection of its own and in its own transaction."""
    everybody = threading.Barrier(len(works))
    given: list[Any] = [None] * len(works)

    def run(place: int, work: Callable[[], Any]) -> None:
        with database.transaction():
            everybody.wait(10)
            given[place] = work()
        database.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return given


def test_of_takers_of_a_lease_that_ran_out_one_wins(channel_row: Any) -> None:
    for round_of in range(20):
        with database.transaction():
            leases.take(channel_row.id, "dead", 80, [], NOW, NOW + 10)
            leases.release(channel_row.id, "dead")
        takers = [
            lambda name=f"w{round_of}-{n}": leases.take(channel_row.id, name, 80, [], NOW, NOW + 10_000)
            for n in range(4)
        ]
        assert sum(one is not None for one in together(*takers)) == 1
        with database.transaction():
            leases.forget_all()


def test_the_last_two_messages_settled_at_once_end_their_broadcast(channel_row: Any) -> None:
    for round_of in range(20):
        row = accepted(channel_row, 2, public_id=f"b{round_of}", series=500 + round_of)
        first, second = claim(channel_row)

        def settle(one: Any, broadcast_id: int = row.id) -> None:
            messages.apply([messages.Sent(*mark(one, f"wamid.{one.id}", NOW))])
            lifecycle.finish([broadcast_id], NOW)

        together(lambda one=first: settle(one), lambda one=second: settle(one))
        assert Broadcast.get_by_id(row.id).finished_at is not None


def test_what_is_put_back_while_its_broadcast_is_stopped_waits_for_nobody(channel_row: Any) -> None:
    for round_of in range(20):
        row = accepted(channel_row, 2, public_id=f"b{round_of}", series=500 + round_of)
        claimed = claim(channel_row)
        back = [messages.PutBack(*mark(one, "131056", "slow", NOW, 0)) for one in claimed]
        together(lambda rows=back: messages.apply(rows), lambda row_id=row.id: broadcasts.stop(row_id, NOW))
        assert states(row) == {"cancelled": 2}


def test_two_couriers_never_deliver_the_same(db: Any) -> None:
    hook = webhooks.add("https://hooks.example/", [], "secret", NOW)

    with database.transaction():
        for n in range(40):
            event_documents.tell_one(hook.id, event_documents.WEBHOOK_TEST, {"webhook": str(n)}, NOW)
    taken = together(*[lambda: [one.id for one in webhooks.claim({hook.id: 20}, NOW)]] * 2)
    assert len(taken[0] + taken[1]) == len(set(taken[0] + taken[1]))
    assert EventDelivery.select().count() == 40


def test_processes_that_migrate_at_once_do_it_once(postgres: Any) -> None:
    name = postgres.make("template0")
    try:
        opened = database.open(postgres.url(name))
        applied = migrate_at_once(opened)
        assert len(applied) == len(set(applied)) == len(list(database.MIGRATIONS.glob("[0-9]*.py")))
    finally:
        postgres.drop(name)


def test_a_connection_that_was_ended_is_opened_anew(db: Any, channel_row: Any) -> None:
    def end() -> None:
        db.execute_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Exception, match="terminat"):
        end()
    assert Message.select().count() == 0
    with pytest.raises(Exception, match="terminat"):
        end()
    row = accepted(channel_row, 1)
    assert states(row) == {"pending": 1}
    assert outcomes.close_unknown(1, 1, NOW) == []
