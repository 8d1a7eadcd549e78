import subprocess
import sys
from pathlib import Path

from broadcaster.worker.presence import Presence


def test_who_is_alive_is_not_dead_and_strangers_are_not_judged(tmp_path: Path) -> None:
    one, two = Presence(tmp_path), Presence(tmp_path)
    assert one.dead([one.id, two.id, "elsewhere"]) == []


def test_who_was_killed_is_dead_at_once(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from broadcaster.worker.presence import Presence;"
        "print(Presence(Path(sys.argv[1])).id, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    name = done.stdout.strip()
    here = Presence(tmp_path)
    assert here.dead([name]) == [name]
    here.tidy([name])
    assert here.dead([name]) == [name]
    here.tidy([])
    assert here.dead([name]) == []


def test_who_left_leaves_no_file(tmp_path: Path) -> None:
    gone = Presence(tmp_path)
    gone.leave()
    assert list((tmp_path / "workers").iterdir()) == []
