import threading
from typing import Any

import pytest

from broadcaster.store import database
from broadcaster.store import writer as store_writer
from broadcaster.store.models import EarlyReceipt, Installation
from broadcaster.store.writer import Writer


@pytest.fixture
def writer(db: Any) -> Any:
    made = Writer()
    made.start()
    yield made
    made.stop()


def rename(key: str) -> str:
    Installation.update(key=key).execute()
    return key


def spoil() -> None:
    rename("spoilt")
    raise ValueError("no")


def test_a_result_is_durable_when_it_arrives(writer: Writer) -> None:
    assert writer.submit(rename, "a").result(10) == "a"
    assert Installation.get().key == "a"


def test_a_failing_job_takes_nobody_with_it(writer: Writer) -> None:
    gate = threading.Event()
    writer.submit(lambda: gate.wait(10))
    good, bad, after = writer.submit(rename, "good"), writer.submit(spoil), writer.submit(lambda: 7)
    gate.set()
    assert good.result(10) == "good"
    with pytest.raises(ValueError, match="no"):
        bad.result(10)
    assert after.result(10) == 7
    assert Installation.get().key == "good"


def test_each_row_of_a_function_that_takes_many_gets_its_own_answer(writer: Writer) -> None:
    gate = threading.Event()
    writer.submit(lambda: gate.wait(10))
    answers = [writer.gather(doubled, number) for number in (3, 4, 5)]
    gate.set()
    assert [one.result(10) for one in answers] == [6, 8, 10]


def test_a_row_that_spoils_a_commit_leaves_the_others_their_answers(writer: Writer) -> None:
    gate = threading.Event()
    writer.submit(lambda: gate.wait(10))
    good, bad = writer.gather(doubled, 3), writer.gather(doubled, None)
    gate.set()
    assert good.result(10) == 6
    with pytest.raises(TypeError):
        bad.result(10)


def doubled(rows: list[Any]) -> list[Any]:
    return [row + row for row in rows]


@pytest.mark.sqlite
def test_waiting_jobs_share_a_commit(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(commits_of_twenty(writer, monkeypatch)) >= 10


def test_a_commit_that_takes_long_takes_no_more(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "_LONG_SECONDS", -1)
    assert set(commits_of_twenty(writer, monkeypatch)) == {1}


def commits_of_twenty(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many of twenty jobs that wait together stand in each commit."""
    commits: list[int] = []
    together = writer._commit_together

    def counted(batch: list[Any]) -> list[Any]:
        left = together(batch)
        commits.append(len(batch) - len(left))
        return left

    monkeypatch.setattr(writer, "_commit_together", counted)
    gate = threading.Event()
    writer.submit(lambda: gate.wait(10))
    jobs = [writer.submit(rename, str(i)) for i in range(20)]
    gate.set()
    assert [job.result(10) for job in jobs] == [str(i) for i in range(20)]
    return commits


@pytest.mark.sqlite
def test_stopping_finishes_what_was_handed_over(db: Any) -> None:
    made = Writer()
    made.start()
    jobs = [made.submit(rename, str(i)) for i in range(100)]
    made.stop()
    assert all(job.done() for job in jobs)
    assert Installation.get().key == "99"


def test_rows_are_changed_in_one_statement_each_five_hundred(db: Any) -> None:
    rows = [(f"wamid.{i}", "{}", i) for i in range(1234)]
    database.insert_rows(EarlyReceipt, ("wamid", "receipt", "received_at"), rows)
    changed = database.change_rows(
        "UPDATE early_receipt SET received_at = v.at FROM v WHERE early_receipt.wamid = v.wamid",
        ("wamid", "at"),
        [(wamid, 5000) for wamid, *_ in rows[:1200]],
    )
    assert changed == 1200
    assert EarlyReceipt.select().where(EarlyReceipt.received_at == 5000).count() == 1200
    late = EarlyReceipt.select(EarlyReceipt.received_at).where(EarlyReceipt.received_at > 5000)
    assert database.fetch_at_once(late) == []
