"""The faults of a machine do what they say: a power loss takes what was not synced and nothing else, a full
disk takes no more, a wrong clock tells the wrong time."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture import machine
from tests.torture.machine import Machine

pytestmark = pytest.mark.skipif(machine.compiler() is None, reason="there is no C compiler here")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return machine.build(tmp_path_factory.mktemp("library"))


@pytest.fixture
def here(tmp_path: Path, library: Path) -> Iterator[Machine]:
    made = Machine(tmp_path, library)
    made.note_durable()
    yield made
    made.close()


def run(here: Machine, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | here.environ,
        cwd=here.root,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def left(here: Machine, seed: int) -> dict[str, str]:
    """What files hold after a power loss."""
    here.cut_power(random.Random(seed))
    return {path.name: path.read_text() for path in here.root.iterdir()}


WRITE = """
import os
def put(name, text, sync, at=0):
    file = os.open(name, os.O_RDWR | os.O_CREAT)
    os.pwrite(file, text.encode(), at)
    if sync:
        os.fsync(file)
    os.close(file)
"""


@pytest.mark.parametrize("seed", range(12))
def test_what_was_synced_stays(here: Machine, seed: int) -> None:
    run(here, WRITE + "put('a', 'first', True); put('a', 'SECOND', False, 5); put('b', 'x', False)")
    found = left(here, seed)
    assert found["a"][:5] == "first"
    assert found["a"][5:] in ("", "SECOND")
    assert found.get("b", "") in ("", "x")


def test_some_power_loss_takes_what_was_not_synced(tmp_path: Path, library: Path) -> None:
    found = set()
    for seed in range(12):
        folder = tmp_path / str(seed)
        folder.mkdir()
        here = Machine(folder, library)
        here.note_durable()
        run(here, WRITE + "put('a', 'first', True); put('a', 'SECOND', False); put('b', 'x', False)")
        after = left(here, seed)
        found |= {after["a"], str("b" in after)}
        here.close()
    assert found == {"first", "SECOND", "True", "False"}


@pytest.mark.parametrize("seed", range(6))
def test_a_name_is_durable_with_its_folder(here: Machine, seed: int) -> None:
    sync_folder = "\nfolder = os.open('.', os.O_RDONLY); os.fsync(folder)\n"
    run(
        here,
        WRITE + "put('a', 'old', True); put('b', 'new', True); os.replace('b', 'a')" + sync_folder
        + "put('c', 'x', True); os.link('c', 'd'); os.unlink('c')" + sync_folder,
    )  # fmt: skip
    assert left(here, seed) == {"a": "new", "d": "x"}


def test_a_second_power_loss_starts_from_the_first(here: Machine) -> None:
    run(here, WRITE + "put('a', 'one', True)")
    assert left(here, 1) == {"a": "one"}
    run(here, WRITE + "put('a', 'two', True, 3)")
    assert left(here, 2) == {"a": "onetwo"}


COMMIT = """
import cysqlite
database = cysqlite.connect("broadcaster.db")
database.execute("PRAGMA journal_mode = wal")
database.execute("PRAGMA synchronous = {}")
database.execute("CREATE TABLE IF NOT EXISTS t (a)")
for i in range(50):
    database.execute("INSERT INTO t VALUES (randomblob(3000))")
import os
print(database.execute("SELECT count(*) FROM t").fetchone()[0], flush=True)
os._exit(0)
"""
COUNT = """
import cysqlite
database = cysqlite.connect("broadcaster.db")
print(database.execute("SELECT count(*) FROM t").fetchone()[0])
print(database.execute("PRAGMA integrity_check").fetchone()[0])
"""


@pytest.mark.parametrize("seed", range(4))
def test_what_sqlite_committed_in_full_stays(here: Machine, seed: int) -> None:
    assert run(here, COMMIT.format("full")) == "50"
    here.cut_power(random.Random(seed))
    assert run(here, COUNT).split() == ["50", "ok"]


def test_what_sqlite_did_not_sync_may_go(here: Machine) -> None:
    there = int(run(here, COMMIT.format("full")))
    taken = 0
    for seed in range(6):
        told = int(run(here, COMMIT.format("normal")))
        here.cut_power(random.Random(seed))
        count, sound = run(here, COUNT).split()
        assert (sound, there <= int(count) <= told) == ("ok", True)
        taken += told - int(count)
        there = int(count)
    assert taken > 0


def test_a_full_disk_takes_no_more_and_has_room_again(here: Machine) -> None:
    grow = WRITE + "put('a', 'x' * 1000, True)"
    run(here, WRITE + "put('a', 'x' * 500, True)")
    here.set_space(400)
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run(here, grow)
    assert "No space left on device" in failed.value.stderr
    run(here, WRITE + "put('a', 'y' * 500, True)")
    here.set_space(-1)
    run(here, grow)


@pytest.mark.parametrize("seconds", [-3600, 7200])
def test_a_wrong_clock_tells_the_wrong_time(here: Machine, seconds: int) -> None:
    code = "import time, datetime; print(time.time(), datetime.datetime.now().timestamp(), time.monotonic())"
    right, _, before = map(float, run(here, code).split())
    here.set_clock(seconds)
    wrong, also, after = map(float, run(here, code).split())
    assert abs(wrong - right - seconds) < 600
    assert abs(also - wrong) < 600
    assert 0 < after - before < 600
