"""The progress of a broadcast on a terminal."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from broadcaster.cli.saying import one_line

_POLL_SECONDS = 0.5


def watch_progress(console: Console, ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """A bar over the answers of `ask` until the broadcast has ended; returns the last answer."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("queued", total=None, note="")
        while True:
            document = ask()
            stats = document["stats"]
            bar.update(
                task,
                description=document["status"],
                total=stats["total"],
                completed=stats["total"] - stats["pending"],
                note=_note(document),
            )
            if document["finishedAt"]:
                return document
            time.sleep(_POLL_SECONDS)


def _note(document: Mapping[str, Any]) -> str:
    stats, waiting = document["stats"], document["whyWaiting"]
    note = f"{stats['success']} sent, {stats['failed']} failed"
    if document["status"] == "sending" and document["estimatedFinishAt"]:
        note += f", {document['pace']}/s, {_left(document['estimatedFinishAt'])} left"
    if document["unknown"]:
        note += f", {document['unknown']} unknown"
    if waiting and waiting["reason"] != "pace":
        note += f", waiting: {waiting['detail'] or waiting['reason']}"
    return one_line(note)


def _left(end: str) -> str:
    """The time until an RFC 3339 moment, as minutes and seconds."""
    seconds = max(0, round(datetime.fromisoformat(end).timestamp() - time.time()))
    return f"{seconds // 60}:{seconds % 60:02d}"
