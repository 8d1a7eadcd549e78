import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broadcaster import config
from broadcaster.errors import Misconfigured
from broadcaster.store import broadcasts, counters, database, message_queries, messages, models, webhooks
from tests.support.databases import migrate_at_once
from tests.support.samples import NOW

pytestmark = pytest.mark.sqlite


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
    applied = migrate_at_once(opened)
    assert applied == [
        "0001_first",
        "0002_faces_and_people",
        "0003_receipts",
        "0004_upkeep",
        "0005_dashboard",
        "0006_people",
        "0007_sessions",
        "0008_tallies",
        "0009_reservations",
        "0010_failing_webhooks",
        "0011_growth",
        "0012_engines",
    ]


def test_the_database_is_durable_checked_and_ours_alone(db: Any, settings: config.Settings) -> None:
    values = {name: db.pragma(name) for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    folder = Path(settings.data_dir)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


Recorder = Callable[[Callable[[], Any]], str]


@pytest.fixture
def plan_of(db: Any, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """The plans of the statements that a function executes, as one text."""
    execute = db.execute_sql

    def recorded(ask: Callable[[], Any]) -> str:
        statements: list[tuple[str, Any]] = []

        def recording(sql: str, values: Any = None) -> Any:
            statements.append((sql, values))
            return execute(sql, values)

        with monkeypatch.context() as patched:
            patched.setattr(db, "execute_sql", recording)
            ask()
        assert statements
        plans = [execute("EXPLAIN QUERY PLAN " + sql, values).fetchall() for sql, values in statements]
        return " ".join(str(row) for plan in plans for row in plan)

    return recorded


QUESTIONS: list[tuple[str, Callable[[], Any]]] = [
    ("USING COVERING INDEX message_counts", lambda: counters.of_broadcasts([1, 2])),
    ("USING COVERING INDEX message_counts", counters.of_channels),
    ("message_waiting", lambda: message_queries.due(1, 5, "portfolio", None, NOW)),
    ("message_waiting", lambda: message_queries.has_due(1, NOW)),
    ("message_waiting", lambda: message_queries.next_waiting(1)),
    ("message_page", lambda: message_queries.page(1, {}, 5, 5)),
    ("broadcast_open", lambda: messages.lose_abandoned(1, NOW)),
    ("broadcast_open", lambda: broadcasts.under_way(1, NOW)),
    ("broadcast_open", lambda: broadcasts.channels_to_wake(NOW)),
    ("event_delivery_due (webhook_id=? AND next_at<?)", lambda: webhooks.with_due(NOW)),
    ("event_delivery_due (webhook_id=? AND next_at<?)", lambda: webhooks.claim({1: 2}, NOW)),
]


@pytest.mark.parametrize(("index", "ask"), QUESTIONS)
def test_the_hot_questions_are_answered_from_their_indexes(
    plan_of: Recorder, index: str, ask: Callable[[], Any]
) -> None:
    plan = plan_of(ask)
    assert index in plan
    assert "SCAN message'" not in plan


def test_an_engine_there_is_no_driver_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no driver for mysql"):
        database.open(f"mysql:///{tmp_path}/x.db")
    assert list(tmp_path.iterdir()) == []
