"""What Meta sends is kept whole in a quarter of the room, and what was kept before is read as it is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.domain import strict_json
from broadcaster.errors import Faults
from broadcaster.meta import payloads
from broadcaster.services import meta_events, upkeep
from broadcaster.settlement import outcomes
from broadcaster.store import callbacks, database, packing
from broadcaster.store.models import Callback
from tests.support.callbacks import callback, status
from tests.support.samples import NOW


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert packing.unpack(packing.pack(text)) == text
    assert packing.unpack(text) == text


def test_a_receipt_takes_a_third_at_most() -> None:
    wamid = "wamid.HBgMOTA1NTU0NDQwMDAwFQIAERgSMTQ0QTBFRjM4NkY3QTZGNzQ2AA=="
    origin = {"id": "9ce0b2d0a0c87e8ee2f1", "origin": {"type": "utility"}}
    pricing = {"billable": True, "pricing_model": "PMP", "category": "utility", "type": "regular"}
    told = status("delivered", wamid=wamid, tag="334eacc3.362.1", conversation=origin, pricing=pricing)
    body = json.dumps(callback(told), separators=(",", ":"))
    assert len(packing.pack(body)) * 3 < len(body)


@pytest.mark.sqlite
def test_what_was_kept_before_is_replayed_with_what_is_packed(
    db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [json.dumps(callback(status("read", wamid=f"wamid.{n}"))) for n in range(2)]
    with database.transaction():
        sql = "INSERT INTO callback (received_at, body, understood) VALUES (?, ?, 1)"
        db.execute_sql(sql, [NOW, bodies[0]])
        callbacks.keep(bodies[1:], NOW)
    assert [row.body for row in Callback.select().order_by(Callback.id)] == bodies
    kinds = db.execute_sql("SELECT typeof(body) FROM callback ORDER BY id").fetchall()
    assert [kind for (kind,) in kinds] == ["text", "blob"]
    seen: list[Any] = []
    monkeypatch.setattr(outcomes, "receive", lambda receipts, *_, **__: seen.extend(receipts))
    assert meta_events.replay((), NOW - 1, NOW) == 2
    documents = [strict_json.loads(body.encode(), Faults()) for body in bodies]
    assert seen == [receipt for one in documents for receipt in payloads.read(one).receipts]


@pytest.mark.sqlite
def test_whoever_is_erased_is_found_in_what_is_packed_and_in_what_is_not(db: Any) -> None:
    other = json.dumps(callback(status("read", recipient_id="905554440001")))
    named = json.dumps(callback(status("read", recipient_id="905554440000")))
    with database.transaction():
        sql = "INSERT INTO callback (received_at, body, understood) VALUES (?, ?, 1)"
        db.execute_sql(sql, [NOW, named])
        callbacks.keep([other, named, other], NOW)
    assert upkeep.erase("+905554440000", NOW)["callbacks"] == 2
    assert [row.body for row in Callback.select()] == [other, other]
