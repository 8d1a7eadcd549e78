"""The demo: a sample broadcast through a whole installation, checked against what the sandbox counted."""

import json
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from broadcaster.cli.progress_bar import watch_progress
from broadcaster.cli.terminal import out
from broadcaster.sandbox import testbed

SAMPLE = Path(__file__).with_name("samples") / "broadcast.json"
CHANNEL = "100000000000001"
SECRET = "of the demo"
RECEIPTS_SECONDS = 30
FINAL_REFUSALS = ("100", "131026", "131049")
"""Codes of the sample that the sandbox gives once and for all; it withdraws the others."""


@click.command()
@click.option("--stay", is_flag=True, help="Keep everything running afterwards, to look at the dashboard.")
def demo(stay: bool) -> None:
    """Start sandbox and server in a temporary directory, send a sample broadcast and check its counters.

    Example: broadcaster demo --stay
    """
    sys.exit(run_demo(out, stay))


def run_demo(console: Console, stay: bool = False) -> int:
    """Run it all in a temporary directory; 0 if our counters are the sandbox's, 1 if not.

    With `stay` everything runs on until Ctrl-C, for a look at the dashboard.
    """
    with tempfile.TemporaryDirectory(prefix="broadcaster-demo-") as folder:
        console.print("Starting a sandbox in place of Meta's Graph API ...")
        with testbed.sandbox(Path(folder)) as graph_url:
            here = testbed.Installation(Path(folder), graph_url, app_secret=SECRET)
            console.print("Adding a channel and a token, starting the server ...")
            here.add_channel(CHANNEL)
            server = here.start()
            testbed.send_receipts(graph_url, f"{here.url}/callbacks/meta", SECRET)
            try:
                code = _send_sample(console, here, graph_url)
                _show_dashboard(console, here, stay)
                return code
            finally:
                server.stop()


def _show_dashboard(console: Console, here: testbed.Installation, stay: bool) -> None:
    if not stay:
        console.print(f"The dashboard was at {here.url}/ ; `broadcaster demo --stay` keeps it running.")
        return
    console.print(f"The dashboard is at {here.url}/ ; sign in with the token {here.token}")
    console.print("Ctrl-C ends the demo.")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


def _send_sample(console: Console, here: testbed.Installation, graph_url: str) -> int:
    sample = json.loads(SAMPLE.read_text())
    accepted = here.ask("POST", "/v1/broadcasts", json=sample)
    console.print(f"Accepted {accepted['stats']['total']} messages as broadcast {accepted['id']}.")
    path = f"/v1/broadcasts/{accepted['id']}"
    watch_progress(console, lambda: here.ask("GET", path))
    _show_failures(console, here, path)
    done = _wait_for_receipts(here, path, graph_url)
    return _compare(console, done, testbed.sandbox_report(graph_url))


def _wait_for_receipts(here: testbed.Installation, path: str, graph_url: str) -> dict[str, Any]:
    """The broadcast once all that was accepted is read, or the last that was seen of it."""
    deadline = time.monotonic() + RECEIPTS_SECONDS
    while True:
        document: dict[str, Any] = here.ask("GET", path)
        report = testbed.sandbox_report(graph_url)
        if document["delivery"]["read"] == report["accepted"] or time.monotonic() > deadline:
            return document
        time.sleep(0.2)


def _show_failures(console: Console, here: testbed.Installation, path: str) -> None:
    failures = here.ask("GET", f"{path}/messages", params={"state": "failed", "limit": "1000"})["data"]
    table = Table("to", "code", "reason", title="Failed", title_justify="left", box=None, header_style="bold")
    for row in failures:
        table.add_row(row["to"], row["error"]["code"], row["error"]["message"])
    console.print(table)


def _compare(console: Console, done: dict[str, Any], report: dict[str, Any]) -> int:
    """Hold our final counters against what the sandbox saw."""
    refused = sum(report["refused"].get(code, 0) for code in FINAL_REFUSALS)
    taken = report["receipts"]["taken"]
    rows = [
        ("sent, answered or not", done["stats"]["success"], report["accepted"]),
        ("refused", done["stats"]["failed"], refused),
        ("all", done["stats"]["total"], report["accepted"] + refused),
        ("delivered", done["delivery"]["delivered"] + done["delivery"]["read"], taken.get("delivered", 0)),
        ("read", done["delivery"]["read"], taken.get("read", 0)),
        ("sent twice", 0, report["duplicates"]),
        ("still pending", done["stats"]["pending"], 0),
    ]
    table = Table("", "our counters", "the sandbox's", box=None, header_style="bold")
    for name, ours, theirs in rows:
        table.add_row(name, str(ours), str(theirs))
    console.print(table)
    same = all(ours == theirs for _, ours, theirs in rows)
    console.print("The counters agree." if same else "THE COUNTERS DO NOT AGREE.")
    return 0 if same else 1
