"""No statement that runs while messages are sent, accepted and told of reads a table from end to end.

What runs is not listed here: a whole world and the API run, and every statement they executed is explained.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from broadcaster.clock import epoch_ms
from broadcaster.store import broadcasts, messages
from broadcaster.store.models import Message
from tests.simulation.world import play
from tests.support.broadcasts import settle
from tests.support.callbacks import callback, hear, status
from tests.support.client import Client
from tests.support.samples import NOW, request_of

pytestmark = pytest.mark.sqlite

GROWS = {
    "broadcast", "callback", "contact", "contact_name", "conversation", "early_receipt", "event",
    "event_delivery", "idempotency", "message", "reached", "suppression",
}  # fmt: skip
"""Tables that grow with what is sent, accepted and told."""
_SMALL = (
    r" USING (COVERING )?INDEX"
    r" (broadcast_open|message_unknown|message_waiting|message_delivered|early_receipt\w+)"
)
"""Indexes of what has not ended and of what waits for its answer; what else there is does not matter. Of what
was delivered only one row is looked at."""
_NEWEST = re.compile(r'ORDER BY "t1"."id" DESC LIMIT \?$')


class Recorded(dict[str, Any]):
    """Statements, each with the values it ran with first."""


@pytest.fixture
def recorded(db: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    found, execute = Recorded(), db.execute_sql

    def recording(sql: str, values: Any = None) -> Any:
        found.setdefault(sql, values)
        return execute(sql, values)

    with monkeypatch.context() as patched:
        patched.setattr(db, "execute_sql", recording)
        yield found


def scans(db: Any, sql: str, values: Any) -> list[str]:
    """Steps of a statement's plan that read a whole table that grows."""
    if not re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", sql) or "(0 = 1)" in sql:
        return []
    names = {alias: table for table, alias in re.findall(r'"(\w+)" AS "(\w+)"', sql)}
    steps = [str(row[3]) for row in db.execute_sql("EXPLAIN QUERY PLAN " + sql, values).fetchall()]
    whole = [step for step in steps if step.startswith("SCAN ") and not re.search(_SMALL, step)]
    tables = {step: names.get(step.split()[1], step.split()[1]) for step in whole}
    return [step for step, table in tables.items() if table in GROWS and not _NEWEST.search(sql)]


def hold(db: Any, recorded: Recorded) -> None:
    statements = dict(recorded)
    assert len(statements) > 20
    faults = {sql: found for sql, values in statements.items() if (found := scans(db, sql, values))}
    assert faults == {}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sending_receiving_and_the_sweep_read_no_table_whole(db: Any, recorded: Recorded, seed: int) -> None:
    play(seed, NOW)
    hold(db, recorded)


def test_accepting_telling_and_a_page_of_broadcasts_read_no_table_whole(
    client: Client, db: Any, recorded: Recorded
) -> None:
    headers = {"Idempotency-Key": "once"}
    public_id = client.post("/v1/broadcasts", request_of(8), headers=headers).json["id"]
    first, *_ = settle(public_id, *[("sent", None)] * 8)
    hear(client.settings, callback(status("read", wamid=Message.get_by_id(first).wamid)))
    for word in ("sending", "scheduled", "queued", "paused"):
        assert client.get(f"/v1/broadcasts?status={word}").status_code == 200
    for path in ("", f"/{public_id}", f"/{public_id}/messages", f"/{public_id}/errors"):
        assert client.get(f"/v1/broadcasts{path}").status_code == 200
    assert client.get("/metrics").status_code == 200
    client.post(f"/v1/broadcasts/{public_id}/stop")
    messages.close_unknown(1, 1, epoch_ms())
    broadcasts.note_first_requests([(1, NOW, NOW + 1)])
    hold(db, recorded)


def test_a_statement_that_reads_a_whole_table_is_found(db: Any) -> None:
    assert scans(db, "SELECT id FROM message WHERE recipient = ?", ["x"]) == ["SCAN message"]
    assert scans(db, "SELECT DISTINCT broadcast_id FROM message WHERE state = ?", ["unknown"]) != []
