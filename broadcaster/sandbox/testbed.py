"""A whole installation in a directory of its own, as processes: for demo, tests and benchmarks."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import requests

from broadcaster.config import PREFIX
from broadcaster.errors import BroadcasterError

READY_SECONDS = 30


class NotReady(BroadcasterError):
    """A process ended or stayed silent before it was ready."""


class Process:
    """One `broadcaster` command, its output in a file."""

    def __init__(
        self, *arguments: str, environ: dict[str, str], output: Path, process_group: int | None = None
    ):
        """`process_group` is one to join, 0 for a new one, None for that of the caller."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        self._output = output
        self._log: IO[bytes] = output.open("ab")
        self._seen = output.stat().st_size
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "broadcaster", *arguments],
            env=inherited | environ,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd=output.parent,
            process_group=process_group,
        )

    def wait_for(self, find: Callable[[str], str | None]) -> str:
        """What `find` makes of a line of the output; raises NotReady if none comes."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            text = self.output()
            for line in text.splitlines():
                found = find(line)
                if found is not None:
                    return found
            if self.popen.poll() is not None:
                raise NotReady(f"the process ended with {self.popen.returncode}: {text[-2000:]}")
            time.sleep(0.02)
        raise NotReady(f"the process was not ready within {READY_SECONDS} s: {self.output()[-2000:]}")

    def output(self) -> str:
        """What this process wrote so far."""
        with self._output.open("rb") as file:
            file.seek(self._seen)
            return file.read().decode(errors="replace")

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; returns the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signum)
        code = self.popen.wait(60)
        self._log.close()
        return code

    def kill(self) -> None:
        self.stop(signal.SIGKILL)


class Installation:
    """A data directory, the environment that names it, and what a client needs to call it."""

    def __init__(self, folder: Path, graph_url: str, **settings: str):
        self.folder = folder
        self.environ = {
            f"{PREFIX}DATA_DIR": str(folder / "data"),
            f"{PREFIX}GRAPH_URL": graph_url,
            f"{PREFIX}PORT": "0",
            **{PREFIX + name.upper(): value for name, value in settings.items()},
        }
        self.url = ""
        self._session = requests.Session()
        self._session.trust_env = False

    def command(self, *arguments: str) -> str:
        """The output of a command; raises BroadcasterError with its complaint."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(PREFIX)}
        done = subprocess.run(
            [sys.executable, "-m", "broadcaster", *arguments],
            env=inherited | self.environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BroadcasterError(done.stderr.strip() or f"exit code {done.returncode}")
        return done.stdout.strip()

    def add_channel(self, phone_number_id: str, *options: str) -> None:
        """Bring in a number, and make the token this client calls with."""
        self.command(
            "channel", "add", phone_number_id, "--waba-id", "77", "--access-token", "sandbox-token", *options
        )
        if "Authorization" not in self._session.headers:
            self.use_token(self.command("token", "create", "local", "--scope", "admin"))

    def use_token(self, token: str) -> None:
        """Call with this token from now on."""
        self._session.headers["Authorization"] = f"Bearer {token}"

    @property
    def token(self) -> str:
        """The token this client calls with."""
        return str(self._session.headers.get("Authorization", "")).removeprefix("Bearer ")

    def start(self, *halves: str) -> Process:
        """Start `run` (or another half) and return when it is ready."""
        command = halves or ("run",)
        process = Process(*command, environ=self.environ, output=self.folder / "server.log")
        self.await_ready(process, command[0])
        return process

    def await_ready(self, process: Process, command: str) -> None:
        """Return when a process is ready, and call it from then on if it has a web half; raises NotReady."""
        if command == "worker":
            process.wait_for(lambda line: line if "worker ready" in line else None)
        else:
            self.url = process.wait_for(_web_url)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(method, self.url + path, timeout=30, **options)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of a successful answer; raises BroadcasterError with the problem otherwise."""
        response = self.call(method, path, **options)
        if not response.ok:
            raise BroadcasterError(f"{method} {path}: {response.status_code} {response.text}")
        return response.json()


@contextmanager
def sandbox(folder: Path, *options: str) -> Iterator[str]:
    """A running sandbox on a free port; yields its address."""
    process = Process("sandbox", "--port", "0", *options, environ={}, output=folder / "sandbox.log")
    try:
        yield process.wait_for(lambda line: line if line.startswith("http://") else None)
    finally:
        process.stop()


def send_receipts(sandbox_url: str, target: str | None, secret: str) -> None:
    """Have a running sandbox send its receipts to an address; None ends it."""
    session = requests.Session()
    session.trust_env = False
    answer = session.post(
        f"{sandbox_url}/sandbox/callbacks", json={"url": target, "secret": secret}, timeout=10
    )
    answer.raise_for_status()


def sandbox_report(url: str) -> dict[str, Any]:
    """What a sandbox has seen."""
    session = requests.Session()
    session.trust_env = False
    report: dict[str, Any] = session.get(f"{url}/sandbox/report", timeout=10).json()
    return report


def _web_url(line: str) -> str | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event.get("url") if event.get("event") == "web ready" else None
