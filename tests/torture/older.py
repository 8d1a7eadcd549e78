"""A data directory as an older release left it, for worlds that begin with an upgrade."""

import shutil
import sqlite3
from pathlib import Path

from playhouse.migrations import Runner

from broadcaster.store import database
from tests.support.databases import leave_database

LAST = 5
"""The last migration that the older release had; the next one moves people, the largest there is."""
BROADCAST = "an-older-one"
MESSAGES = 3000
OPTED_OUT = [f"+9055580{i:05d}" for i in range(20)]
_KEPT = ("installation", "channel", "template", "token")


def make(data: Path, folder: Path) -> Path:
    """The installation in `data` with the older schema, an old broadcast and people who opted out, in
    `folder`."""
    older = folder / "data"
    shutil.copytree(data, older)
    new, path = older / "new.db", older / "broadcaster.db"
    path.rename(new)
    steps = folder / "steps"
    steps.mkdir()
    for one in sorted(database.MIGRATIONS.glob("[0-9]*.py"))[:LAST]:
        shutil.copy(one, steps)
    Runner(database.open(f"sqlite:///{path}"), str(steps)).up()
    leave_database()
    made = sqlite3.connect(path)
    try:
        _fill(made, new)
    finally:
        made.close()
    new.unlink()
    return older


def _fill(made: sqlite3.Connection, new: Path) -> None:
    made.execute("ATTACH ? AS new", [str(new)])
    for table in _KEPT:
        there = {row[1] for row in made.execute(f"PRAGMA new.table_info({table})")}
        names = [row[1] for row in made.execute(f"PRAGMA main.table_info({table})") if row[1] in there]
        listed = ", ".join(names)
        made.execute(f"INSERT OR REPLACE INTO main.{table} ({listed}) SELECT {listed} FROM new.{table}")
    [channel_id] = made.execute("SELECT id FROM channel").fetchone()
    made.execute(
        "INSERT INTO broadcast (public_id, channel_id, template_name, template_language, priority,"
        " duplicates, scheduled, created_at, due_at, finished_at)"
        " VALUES (?, ?, 'appointment', 'en', 0, 0, 0, 1, 1, 2)",
        [BROADCAST, channel_id],
    )
    made.executemany(
        "INSERT INTO message (broadcast_id, recipient, content, state, attempt, tries, next_at, wamid,"
        " sent_at) VALUES (1, ?, '{}', 'sent', 1, 1, 1, ?, 2)",
        [(f"+9055570{i:05d}", f"wamid.old{i}") for i in range(MESSAGES)],
    )
    made.executemany(
        "INSERT INTO suppression VALUES (?, 'asked', 'api', 1)", [(person,) for person in OPTED_OUT]
    )
    made.commit()
    made.execute("DETACH new")
