"""Every rule for a status stands twice, for a row and as a condition of a query: both agree."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from broadcaster.store import broadcasts, channels, counters, message_queries, statuses
from broadcaster.store.broadcasts import Search
from broadcaster.store.models import Channel, Message
from tests.support.samples import NOW
from tests.support.statuses import ENDED, PAIRS, Made, store

moments = some.sampled_from([None, None, NOW])


@some.composite
def broadcasts_made(draw: some.DrawFn) -> Made:
    finished_at, due_at = draw(moments), draw(some.sampled_from([NOW - 1, NOW, NOW + 1]))
    facts = {
        "due_at": due_at,
        "started_at": draw(some.sampled_from([None, due_at])),
        "paused_at": draw(moments),
        "stopped_at": draw(moments),
        "finished_at": finished_at,
    }
    if facts["paused_at"] is not None:
        facts["pause_reason"] = "paused"
    if facts["stopped_at"] is not None:
        facts |= {"stopped_cancelled": 0, "stopped_in_flight": 0}
    # A broadcast ends only when all its messages have come to their end.
    pairs = PAIRS if finished_at is None else ENDED
    return Made(facts, draw(some.lists(some.sampled_from(pairs), max_size=4)))


over_a_database = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
some_broadcasts = some.lists(broadcasts_made(), min_size=6, max_size=16)


@over_a_database
@given(made=some_broadcasts, channel_paused_at=moments)
def test_a_page_of_a_status_has_exactly_the_broadcasts_of_that_status(
    channel_row: Channel, made: list[Made], channel_paused_at: int | None
) -> None:
    Channel.update(paused_at=channel_paused_at).execute()
    rows, channel = store(made, channel_row), channels.get(channel_row.id)
    counted = counters.of_broadcasts([row.id for row in rows])
    by_row = {row.id: statuses.status(row, channel, counted[row.id], NOW) for row in rows}
    for word in statuses.STATUSES:
        found = {row.id for row in broadcasts.page(word, None, 100, NOW)}
        assert found == {row_id for row_id, status in by_row.items() if status == word}, word


@over_a_database
@given(made=some_broadcasts)
def test_a_search_for_a_stage_finds_exactly_the_broadcasts_at_that_stage(
    channel_row: Channel, made: list[Made]
) -> None:
    rows = store(made, channel_row)
    counted = counters.of_broadcasts([row.id for row in rows])
    by_row = {row.id: statuses.stage(row, counted[row.id]) for row in rows}
    for word in statuses.STAGES:
        count, found = broadcasts.search(Search("own", stage=word), 0, 100)
        assert count == len(found)
        wanted = {row_id for row_id, stage in by_row.items() if stage == word}
        assert {row.id for row in found} == wanted, word


@pytest.mark.parametrize("word", statuses.STANDINGS)
def test_a_search_for_a_standing_finds_exactly_the_messages_that_have_it(
    channel_row: Channel, word: Any
) -> None:
    (row,) = store([Made({"due_at": NOW}, list(PAIRS))], channel_row)
    _, found = message_queries.search(row.id, word, 0, 100)
    wanted = [message for message in Message.select() if statuses.standing(message) == word]
    assert wanted
    assert {message.id for message in found} == {message.id for message in wanted}
