"""systemd's watchdog: it hears from us while every part works, and not a moment longer."""

import math
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broadcaster import config
from broadcaster.cli.systemd import Watchdog, watchdog_seconds
from broadcaster.store.writer import Writer
from broadcaster.vault import open_vault
from broadcaster.web.server import Server
from broadcaster.worker.schedule import Schedule
from broadcaster.worker.worker import Worker
from tests.support.installation import Field
from tests.support.waiting import wait_until


@pytest.fixture
def ear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield made


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": ""}, None),
    ],
)
def test_the_watchdog_is_systemds_and_ours(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog_seconds(environ) == seconds


@pytest.mark.parametrize("half", ["run", "web", "worker"])
def test_systemd_hears_from_a_process_that_works(
    field: Field, ear: socket.socket, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    field.sandbox()
    process = field.start(field.installation(), half)
    assert [ear.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
    process.stop()
    heard = {ear.recv(100)}
    while b"STOPPING=1" not in heard:
        heard.add(ear.recv(100))
    assert heard <= {b"WATCHDOG=1", b"STOPPING=1"}


def test_systemd_hears_nothing_while_a_part_is_stuck(ear: socket.socket) -> None:
    silence = {"web": 0.0, "worker": 0.0}
    watchdog = Watchdog(0.04, {name: lambda name=name: silence[name] for name in silence})
    watchdog.start()
    assert ear.recv(100) == b"WATCHDOG=1"
    silence["worker"] = 1.0
    assert watchdog.silent_parts() == ["worker"]
    ear.settimeout(0.5)
    with pytest.raises(TimeoutError):
        # What was on its way is heard; then nothing more.
        while ear.recv(100):
            pass
    silence["worker"] = 0.0
    ear.settimeout(30)
    assert ear.recv(100) == b"WATCHDOG=1"
    watchdog.stop()


def test_a_writer_that_hangs_in_a_transaction_is_silent(db: Any) -> None:
    gate, writer = threading.Event(), Writer()
    writer.start()
    try:
        assert writer.silence() == 0
        held = writer.submit(lambda: gate.wait(30))
        wait_until(lambda: writer.silence() > 0.05)
    finally:
        gate.set()
    held.result(10)
    wait_until(lambda: writer.silence() == 0)
    writer.stop()


def test_a_writer_that_has_ended_is_silent_for_ever(db: Any) -> None:
    writer = Writer()
    writer.start()
    writer.stop()
    assert writer.silence() == math.inf


def test_a_loop_that_does_not_turn_is_silent(channel_row: Any, settings: config.Settings) -> None:
    gate, worker = threading.Event(), Worker(settings, open_vault(settings.data_dir))
    worker.start()
    try:
        worker._loop.call_soon_threadsafe(gate.wait, 30)
        wait_until(lambda: worker.silence() > 1.5)
    finally:
        gate.set()
    wait_until(lambda: worker.silence() < 1.5)
    worker.stop(20)


class _Stuck:
    """A request that keeps its thread."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def service(self) -> None:
        self.gate.wait(30)

    def cancel(self) -> None:
        self.gate.set()


def test_a_server_whose_threads_are_all_stuck_is_silent(db: Any, settings: config.Settings) -> None:
    settings.port = 0
    writer = Writer()
    server = Server(settings, Schedule(db), open_vault(settings.data_dir), writer)
    stop = threading.Event()
    serving = threading.Thread(target=server.serve_while, args=(lambda: not stop.is_set(),), daemon=True)
    serving.start()
    stuck = [_Stuck() for _ in range(len(server.task_dispatcher.threads) + 1)]
    try:
        for one in stuck:
            server.task_dispatcher.add_task(one)
        wait_until(lambda: server.silence() > 1.5)
        for one in stuck:
            one.gate.set()
        wait_until(lambda: server.silence() < 1.5)
    finally:
        stop.set()
        server.pull_trigger()
        serving.join(10)
        # Those who wait are told to give up, and so let their threads go.
        server.task_dispatcher.shutdown(cancel_pending=True, timeout=5)
        server.close()
