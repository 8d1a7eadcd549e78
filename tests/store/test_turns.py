"""Who writes waits for a turn: in order of arrival, over threads and processes, and never behind the dead."""

import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from peewee import OperationalError

from broadcaster.store import database, sqlite
from broadcaster.store.models import Installation

pytestmark = pytest.mark.sqlite

HOLD = """
import sys
from broadcaster.store import database
database.open(sys.argv[1])
with database.transaction():
    print("holds", flush=True)
    sys.stdin.read()
"""


def write() -> None:
    with database.transaction():
        Installation.update(key=Installation.key).execute()


def test_whoever_waits_comes_before_whoever_has_just_written(db: Any) -> None:
    written = 0
    is_over = threading.Event()

    def write_on() -> None:
        nonlocal written
        while not is_over.is_set():
            write()
            written += 1
        database.close()

    busy = [threading.Thread(target=write_on) for _ in range(3)]
    for thread in busy:
        thread.start()
    waits = []
    for _ in range(200):
        before = written
        write()
        waits.append(written - before)
    is_over.set()
    for thread in busy:
        thread.join()
    # One may have the turn and three may be before us; each of them may be the next once more at most
    # while we come to the queue.
    assert sorted(waits)[100] <= 8


def test_a_write_within_a_transaction_waits_for_nothing(db: Any) -> None:
    with database.transaction(), database.transaction():
        write()
    write()


def test_a_turn_ends_with_its_transaction_however_that_ends(db: Any) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction():
        raise ZeroDivisionError
    thread = threading.Thread(target=lambda: (write(), database.close()))
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


def test_the_turn_of_a_process_that_is_killed_is_free(
    db: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", HOLD, settings.database]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"holds\n"
        monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
        with pytest.raises(OperationalError, match="locked"):
            write()
        holder.kill()
        holder.wait()
        write()


def test_the_files_are_for_us_alone(db: Any) -> None:
    write()
    for name in ("next", "turn"):
        path = Path(f"{database.path()}-{name}")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
