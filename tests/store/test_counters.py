"""Every figure about the messages of a broadcast comes from one query."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from broadcaster.store import counters
from tests.support.samples import NOW
from tests.support.statuses import PAIRS, Made, store


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=some.lists(some.sampled_from(PAIRS), max_size=12))
def test_pending_success_failed_and_cancelled_add_up_to_the_total(channel_row: Any, pairs: Any) -> None:
    (row,) = store([Made({"due_at": NOW}, pairs)], channel_row)
    counts = counters.of_broadcast(row.id)
    stats = counters.stats(counts)
    assert stats["pending"] + stats["success"] + stats["failed"] + stats["cancelled"] == stats["total"]
    assert stats["total"] == len(pairs)
    assert counts.open + counts.sent_in_all + counts.failed_in_all + stats["cancelled"] == len(pairs)


def test_a_message_that_a_receipt_calls_failed_was_handed_over_and_did_not_arrive(channel_row: Any) -> None:
    made = Made({"due_at": NOW}, [("sent", "failed"), ("sent", "read"), ("sent", None)])
    (row,) = store([made], channel_row)
    counts = counters.of_broadcast(row.id)
    assert counters.stats(counts)["success"] == 3
    assert (counts.sent_in_all, counts.failed_in_all, counts.undelivered) == (2, 1, 1)
    assert counters.delivery_figures(counts) == {"sent": 0, "delivered": 0, "read": 1, "failed": 1}


def test_the_totals_of_channels_are_those_of_their_broadcasts(channel_row: Any) -> None:
    store([Made({"due_at": NOW}, [("pending", None)])] * 2, channel_row)
    assert counters.of_channels() == [(channel_row.id, "pending", None, 2)]
