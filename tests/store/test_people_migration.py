"""An upgrade to people with many names: nothing anybody said, and nobody reached, is lost."""

import random
import runpy
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from playhouse.migrations import Runner

from broadcaster.domain import phone
from broadcaster.store import allowance, contacts, conversations, database, people, suppressions
from broadcaster.store.models import Contact, ContactName, Conversation, Message, Reached, Suppression
from tests.support.databases import leave_database
from tests.support.samples import NOW

LAST_BEFORE = 5


def old_database(path: Path, folder: Path) -> sqlite3.Connection:
    """A database with the schema of the release before."""
    before = folder / "before"
    before.mkdir()
    for one in sorted(database.MIGRATIONS.glob("[0-9]*.py"))[:LAST_BEFORE]:
        shutil.copy(one, before)
    opened = database.open(f"sqlite:///{path}")
    Runner(opened, str(before)).up()
    leave_database()
    made = sqlite3.connect(path)
    made.execute(
        "INSERT INTO channel (phone_number_id, waba_id, portfolio, access_token, created_at, coexistence)"
        " VALUES ('1', '7', '7', 'x', 1, 0)"
    )
    made.execute(
        "INSERT INTO broadcast (public_id, channel_id, template_name, template_language, priority,"
        " duplicates, scheduled, created_at, due_at) VALUES ('b', 1, 't', 'en', 0, 0, 0, 1, 1)"
    )
    return made


def add_message(made: sqlite3.Connection, recipient: str, state: str = "pending") -> None:
    made.execute(
        "INSERT INTO message (broadcast_id, recipient, content, state, attempt, tries, next_at)"
        " VALUES (1, ?, '{}', ?, 0, 0, 1)",
        [recipient, state],
    )


def migrated(path: Path) -> None:
    database.migrate(database.open(f"sqlite:///{path}"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broadcaster.db"


def test_what_an_older_release_wrote_is_all_there(path: Path, tmp_path: Path) -> None:
    made = old_database(path, tmp_path)
    known = [
        ("+905554440001", None, "Ana"),
        ("+5531977770002", "+553177770002", None),
        ("+553177770002", None, "Bia"),
        ("TR.2222", None, None),
        ("+525512345678", None, None),
    ]
    made.executemany("INSERT INTO contact (recipient, wa_id, name, created_at) VALUES (?, ?, ?, 5)", known)
    made.executemany(
        "INSERT INTO conversation (contact_id, channel_id, created_at, last_sent_at, assigned_key,"
        " assigned_to, assigned_at) VALUES (?, 1, 1, ?, ?, ?, ?)",
        [(2, 10, None, None, None), (3, 20, "assign-to-user", "7", 20), (1, 30, None, None, None)],
    )
    made.executemany(
        "INSERT INTO suppression VALUES (?, ?, 'callback', ?)",
        [
            ("+553177770002", "older", 100),
            ("+5531977770002", "newer", 200),
            ("+5215512345678", "stop word", 300),
            ("not a person", "asked", 400),
        ],
    )
    made.executemany(
        "INSERT INTO reached (portfolio, recipient, at) VALUES ('7', ?, ?)",
        [("+553177770002", NOW - 5), ("+5531977770002", NOW - 9), ("+4915112345678", NOW - 7)],
    )
    add_message(made, "+33612345678")
    made.commit()
    made.close()
    migrated(path)
    assert {row.recipient for row in Suppression.select()} == {
        "+5531977770002",
        "+525512345678",
        "not a person",
    }
    bia = suppressions.find("+553177770002")
    assert bia is not None and (bia.reason, bia.created_at) == ("newer", 200)
    assert suppressions.find("+525512345678") == suppressions.find("+5215512345678") is not None
    assert suppressions.remove(["not a person"]) == ["not a person"]
    assert allowance.people_reached("7", NOW - allowance.DAY) == 2
    person = contacts.of("+553177770002")
    assert person is not None and (person.recipient, person.name) == ("+5531977770002", "Bia")
    [conversation] = Conversation.select().where(Conversation.contact_id == person.id)
    assert (conversation.last_sent_at, conversation.assigned_to) == (20, "7")
    assert contacts.find("ct_3") == person
    assert conversations.sides(["cv_2"])["cv_2"] == (1, "+5531977770002")
    assert people.one("+33612345678") is not None
    assert ContactName.select().where(ContactName.contact_id.not_in(Contact.select(Contact.id))).count() == 0
    leave_database()


def test_the_migrations_sisters_are_those_of_the_code() -> None:
    scope = runpy.run_path(str(database.MIGRATIONS / "0006_people.py"))
    chance = random.Random(7)
    starts = ("+55", "+5511", "+55119", "+52", "+521", "+54", "+549", "+90", "+1", "TR.")
    for _ in range(20_000):
        start = chance.choice(starts)
        name = start + "".join(
            chance.choice("0123456789") for _ in range(chance.randint(6, 14 - len(start) + 2))
        )
        assert scope["spellings"](name) == phone.spellings(name), name


MIGRATE = (
    "import sys; from broadcaster.store import database;"
    "opened = database.open('sqlite:///' + sys.argv[1]); print('ready', flush=True);"
    "print(database.migrate(opened), flush=True)"
)


def test_a_kill_at_any_moment_leaves_the_old_or_the_new(path: Path, tmp_path: Path) -> None:
    made = old_database(path, tmp_path)
    numbers = [f"+55319{60_000_000 + i}" for i in range(20_000)]
    made.executemany("INSERT INTO contact (recipient, created_at) VALUES (?, 5)", [(n,) for n in numbers])
    made.executemany("INSERT INTO suppression VALUES (?, 'x', 'y', 1)", [(n,) for n in numbers[:500]])
    made.commit()
    made.close()
    waits = [0.0, 0.05, 0.15, 0.3]
    for wait in waits:
        process = subprocess.Popen(
            [sys.executable, "-c", MIGRATE, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout and process.stdout.readline() == "ready\n"
        until = time.monotonic() + wait
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with sqlite3.connect(path) as seen:
            assert seen.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert seen.execute("SELECT COUNT(*) FROM suppression").fetchone() == (500,)
        seen.close()
    migrated(path)
    assert (Suppression.select().count(), Contact.select().count()) == (500, 20_000)
    assert suppressions.find("+553160000007") is not None
    assert Message.select().count() == Reached.select().count() == 0
    leave_database()
