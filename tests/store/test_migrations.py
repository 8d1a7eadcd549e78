import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from broadcaster import config
from broadcaster.errors import Misconfigured
from broadcaster.store import database, models


def test_the_models_name_the_columns_the_schema_has(db: Any) -> None:
    for model in models.ALL:
        columns = {column.name for column in db.get_columns(model._meta.table_name)}
        assert columns == set(model._meta.columns), model


def test_a_second_start_has_nothing_to_do(db: Any) -> None:
    assert database.is_current(db)
    assert database.migrate(db) == []


def test_a_newer_schema_is_refused(db: Any) -> None:
    db.execute_sql("INSERT INTO schema_migration (name, applied) VALUES ('9999_future', '2030-01-01')")
    assert not database.is_current(db)
    with pytest.raises(Misconfigured, match="newer release"):
        database.migrate(db)


def test_processes_that_start_together_migrate_once(settings: config.Settings) -> None:
    opened = database.open(settings.database)
    applied: list[str] = []

    def start() -> None:
        applied.extend(database.migrate(opened))
        database.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert applied == [
        "0001_first",
        "0002_faces_and_people",
        "0003_receipts",
        "0004_upkeep",
        "0005_dashboard",
        "0006_people",
    ]


def test_the_database_is_durable_checked_and_ours_alone(db: Any, settings: config.Settings) -> None:
    values = {name: db.pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    folder = Path(settings.data_dir)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def plan_of(db: Any, query: Any) -> str:
    sql, values = query.sql()
    return " ".join(str(row) for row in db.execute_sql("EXPLAIN QUERY PLAN " + sql, values).fetchall())


def test_the_hot_questions_are_answered_from_their_indexes(db: Any) -> None:
    message, broadcast = models.Message, models.Broadcast
    counts = message.select(message.state, message.delivery).where(message.broadcast_id == 1)
    waiting = message.select(message.id).where((message.broadcast_id == 1) & (message.state == "pending"))
    assert "USING COVERING INDEX message_counts" in plan_of(
        db, counts.group_by(message.state, message.delivery)
    )
    assert "message_waiting" in plan_of(db, waiting.order_by(message.next_at, message.id).limit(5))
    pages = message.select().where((message.broadcast_id == 1) & (message.id > 5)).order_by(message.id)
    assert "message_page" in plan_of(db, pages.limit(5))
    due = broadcast.select(broadcast.id).where((broadcast.channel_id == 1) & broadcast.finished_at.is_null())
    assert "broadcast_open" in plan_of(db, due)
