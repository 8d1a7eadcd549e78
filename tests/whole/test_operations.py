"""For those who run it: logs to follow a message by, systemd, unit files."""

import configparser
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from broadcaster.cli import serving, systemd
from broadcaster.cli.base import COMMANDS
from broadcaster.store import sqlite
from tests.support.client import Client
from tests.support.installation import Field
from tests.support.samples import request_of
from tests.support.shell import Shell
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "contrib").glob("*.service"))


def log_of(process: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.output().splitlines() if line.startswith("{")]


def test_a_message_can_be_followed_through_the_log(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(log_level="DEBUG")
    process = field.start(here)
    document = request_of(3)
    document["recipients"][1]["to"] = "+905554449001"
    accepted = here.ask("POST", "/v1/broadcasts", json=document, headers={"X-Request-Id": "crm-17"})
    path = f"/v1/broadcasts/{accepted['id']}"
    wait_until(lambda: here.ask("GET", path)["finishedAt"])
    messages = here.ask("GET", f"{path}/messages")["data"]
    lines = log_of(process)
    [taken] = [line for line in lines if line["event"] == "broadcast.accepted"]
    assert (taken["broadcast"], taken["request"], taken["messages"]) == (accepted["id"], "crm-17", 3)
    told = {line["event"] for line in lines if line.get("broadcast") == accepted["id"]}
    assert told >= {"broadcast.accepted", "broadcast.started", "broadcast.finished"}
    for message in messages:
        [answered] = [line for line in lines if line.get("message") == message["id"]]
        assert answered["broadcast_row"] == taken["broadcast_row"]
        assert (answered["wamid"], answered["attempt"]) == (message["wamid"], message["attempts"])
        assert answered["verdict"] == message["state"].replace("failed", "fail")
    for number in (message["to"] for message in messages):
        assert number not in process.output()
        assert number.removeprefix("+") not in process.output()


def test_single_messages_are_not_logged_by_default(field: Field) -> None:
    field.sandbox("--latency", "5")
    here = field.installation()
    process = field.start(here)
    accepted = here.ask("POST", "/v1/broadcasts", json=request_of(2))
    wait_until(lambda: here.ask("GET", f"/v1/broadcasts/{accepted['id']}")["finishedAt"])
    assert not [line for line in log_of(process) if "message" in line]


@pytest.mark.parametrize("given", ["abc-1.2_3", "x" * 64])
def test_a_callers_request_id_comes_back(client: Client, given: str) -> None:
    assert client.get("/v1/me", headers={"X-Request-Id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "<b>", "ü"])
def test_an_odd_request_id_is_replaced(client: Client, given: str) -> None:
    found = client.get("/v1/me", headers={"X-Request-Id": given}).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{16}", found)


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(
    field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        field.sandbox()
        here = field.installation()
        process = field.start(here)
        assert ear.recv(100) == b"READY=1"
        assert here.call("GET", "/healthz").status_code == 200
        process.stop()
        assert ear.recv(100) == b"STOPPING=1"


def test_an_abstract_socket_is_told_and_a_missing_one_harms_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0broadcaster-test")
        monkeypatch.setenv("NOTIFY_SOCKET", "@broadcaster-test")
        systemd.notify("READY=1")
        assert ear.recv(100) == b"READY=1"
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    systemd.notify("READY=1")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_a_command_there_is(unit: Path) -> None:
    parser = configparser.RawConfigParser(strict=False, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    service = parser["Service"]
    binary, command = service["ExecStart"].split()
    assert binary.endswith("/broadcaster")
    assert command in COMMANDS
    assert service["Type"] == "notify"
    assert int(service["TimeoutStopSec"]) > serving.STOP_SECONDS
    # A part is stuck after half of it, and one that waits for a locked database is not stuck.
    assert int(service["WatchdogSec"]) / 2 > 2 * sqlite.BUSY_SECONDS


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_the_unit(unit: Path, tmp_path: Path) -> None:
    # The program need not be installed for its unit to be read.
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/broadcaster/bin/broadcaster", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []


def test_a_second_sigterm_hurries_the_first_and_nobody_is_sent_twice(field: Field) -> None:
    field.sandbox("--latency", "28000")
    here = field.installation(50)
    process = field.start(here)
    here.ask("POST", "/v1/broadcasts", json=request_of(5))
    wait_until(lambda: field.report()["requests"] == 5)
    process.popen.send_signal(signal.SIGTERM)
    wait_until(lambda: '"stopping"' in (here.folder / "server.log").read_text())
    assert process.popen.poll() is None
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(20) == 1
    with sqlite3.connect(here.folder / "data" / "broadcaster.db") as opened:
        assert opened.execute("SELECT DISTINCT state FROM message").fetchall() == [("sending",)]
    opened.close()
    field.start(here)
    [row] = here.ask("GET", "/v1/broadcasts")["data"]
    wait_until(lambda: here.ask("GET", f"/v1/broadcasts/{row['id']}")["unknown"] == 5)
    assert field.report()["requests"] == 5


def test_sigterm_while_it_starts_ends_it_cleanly(shell: Shell) -> None:
    lock = shell.folder / "data" / "broadcaster.db.lock"
    command = [sys.executable, "-m", "broadcaster", "run"]
    with lock.open("w") as held:
        # It waits for whoever brings the schema up to date.
        fcntl.flock(held, fcntl.LOCK_EX)
        environ = os.environ | shell.environ
        streams: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        process = subprocess.Popen(command, env=environ, text=True, **streams)
        wait_until(lambda: _is_heeded(process.pid, signal.SIGTERM))
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=30)
    assert (process.returncode, told) == (0, "")


def _is_heeded(pid: int, signum: int) -> bool:
    """Whether a process has a handler of its own for a signal."""
    found = re.search(r"^SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    return found is not None and bool(int(found[1], 16) >> (signum - 1) & 1)
