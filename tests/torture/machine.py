"""One machine: its clock and its disk, the processes on it, and what a power loss leaves."""

import json
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from broadcaster.config import PREFIX
from broadcaster.sandbox import testbed
from tests.torture import power

_SOURCE = Path(__file__).with_name("faults.c")
_NUMBERS = struct.Struct("<qq")
_HOLD_LOCK = """
import sys, time, cysqlite
held = cysqlite.connect(sys.argv[1])
held.execute("PRAGMA busy_timeout = 10000")
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(60)
"""


def compiler() -> str | None:
    """The machine's C compiler, if it has one."""
    return shutil.which("cc") or shutil.which("gcc")


def build(folder: Path) -> Path:
    """Compile faults.c into a folder; raises RuntimeError where that cannot be."""
    found = compiler()
    if found is None:
        raise RuntimeError("faults of a machine need a C compiler (Debian: gcc and libc6-dev)")
    library = folder / "faults.so"
    made = ["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run([found, *made], check=True)
    return library


class Machine:
    """Processes of `broadcaster` on one clock and one disk, which both can be spoilt."""

    def __init__(self, folder: Path, library: Path):
        self.root = folder / "disk"
        self.root.mkdir(mode=0o700, exist_ok=True)
        self.log = folder / "server.log"
        self._kept, self._journal = folder / "durable", folder / "journal"
        control = folder / "control"
        control.write_bytes(_NUMBERS.pack(0, -1))
        with control.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _NUMBERS.size)
        self.environ = {
            "LD_PRELOAD": str(library),
            "TORTURE_ROOT": str(self.root),
            "TORTURE_CONTROL": str(control),
            "TORTURE_JOURNAL": str(self._journal),
        }
        self._inodes: dict[str, int] = {}
        self.running: dict[str, testbed.Process] = {}
        """The processes of the group, by command and number."""
        self.turning = threading.RLock()
        """Held while processes are started or ended."""
        self._others: list[subprocess.Popen[str]] = []
        """Commands and the like that run beside the group."""

    # The clock and the disk

    def set_clock(self, seconds: float) -> None:
        """Have the wall clock be wrong by so much."""
        self._control[0:8] = struct.pack("<q", int(seconds * 1e9))

    def set_space(self, count: int) -> None:
        """Leave so many bytes of the disk free; -1 for as many as there are."""
        self._control[8:16] = struct.pack("<q", count)

    def note_durable(self) -> None:
        """Everything that is on the disk now is durable. Nothing may run."""
        self._journal.unlink(missing_ok=True)
        self._inodes = power.snapshot(self.root, self._kept)

    def cut_power(self, rng: random.Random, is_last: bool = True) -> None:
        """End everything at once; the disk keeps what was synced, and any part of the rest.

        Unless it `is_last` another one can be tried in its place.
        """
        with self.turning:
            self.kill()
            self._keep_for_a_look()
            power.cut(self.root, self._kept, self._inodes, self._journal, rng)
            if is_last:
                self.note_durable()

    def _keep_for_a_look(self) -> None:
        """What the disk was before the last power loss, for who has to understand a failure."""
        look = self.root.parent / "before-power-loss"
        shutil.rmtree(look, ignore_errors=True)
        look.mkdir()
        shutil.copytree(self.root, look / "disk")
        shutil.copytree(self._kept, look / "durable")
        shutil.copyfile(self._journal, look / "journal")
        (look / "inodes.json").write_text(json.dumps(self._inodes))

    # Processes

    def start(self, here: testbed.Installation, *halves: str) -> None:
        """Start these commands as one process group, those of them that do not run; returns when all are
        ready. Raises NotReady."""
        with self.turning:
            leader = self._leader()
            for half in halves:
                if half in self.running and self.running[half].popen.poll() is None:
                    continue
                command = half.partition(" ")[0]
                process = testbed.Process(
                    command, environ=here.environ, output=self.log, process_group=leader or 0
                )
                self.running[half] = process
                leader = leader or process.popen.pid
                here.await_ready(process, command)

    def _leader(self) -> int | None:
        alive = [one.popen.pid for one in self.running.values() if one.popen.poll() is None]
        return os.getpgid(alive[0]) if alive else None

    def command(
        self, here: testbed.Installation, *arguments: str, kill_after: float | None = None
    ) -> tuple[int, str]:
        """A command's exit code and output; `kill_after` so many seconds it gets kill -9, and code -9."""
        process = self._beside(here, "-m", "broadcaster", *arguments)
        try:
            output, errors = process.communicate(timeout=kill_after or 120)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
        return process.returncode, output + errors

    def hold_lock(self, here: testbed.Installation, database: Path) -> subprocess.Popen[str]:
        """A process that holds the database's write lock until it is killed. It goes through faults.c as all
        others, for whoever closes a database last may write to it."""
        process = self._beside(here, "-c", _HOLD_LOCK, str(database))
        if process.stdout:
            process.stdout.readline()
        return process

    def _beside(self, here: testbed.Installation, *arguments: str) -> "subprocess.Popen[str]":
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        with self.turning:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=inherited | here.environ,
                cwd=self.root.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            self._others.append(process)
        return process

    def kill(self) -> None:
        """kill -9 of the whole group, and of all commands."""
        with self.turning:
            for other in self._others:
                if other.poll() is None:
                    other.kill()
                    other.wait()
            self._others.clear()
            for process in self.running.values():
                if process.popen.poll() is None:
                    os.killpg(os.getpgid(process.popen.pid), signal.SIGKILL)
                process.kill()
            self.running.clear()

    def end(self, half: str, signum: int) -> int:
        """Send one process a signal and wait for its end; returns its exit code."""
        with self.turning:
            return self.running.pop(half).stop(signum)

    def send(self, half: str, signum: int) -> None:
        """Send one process a signal, if it runs."""
        with self.turning:
            if half in self.running and self.running[half].popen.poll() is None:
                self.running[half].popen.send_signal(signum)

    def died(self) -> dict[str, int]:
        """Processes that ended by themselves, and their exit codes."""
        with self.turning:
            codes = {half: process.popen.poll() for half, process in self.running.items()}
        return {half: code for half, code in codes.items() if code is not None}

    def close(self) -> None:
        self.kill()
        self._control.close()


def memory_folder() -> Path:
    """A new folder in memory where there is such a place, for fsyncs of a real disk only cost time here."""
    shared = Path("/dev/shm")  # noqa: S108
    place = shared if os.access(shared, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="torture-", dir=place))
