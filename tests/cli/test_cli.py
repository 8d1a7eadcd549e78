"""The command line: what it prints, its exit codes, and the sentences of its errors."""

import csv
import io
import json
from pathlib import Path

import click
import pytest

from broadcaster.cli import cli
from broadcaster.services import access
from tests.support.commands import commands_of
from tests.support.installation import Field
from tests.support.samples import CHANNEL, DEFINITIONS
from tests.support.shell import Shell


def test_channels_and_templates_are_shown(shell: Shell) -> None:
    assert shell.json("channel", "list")[0]["id"] == CHANNEL
    assert CHANNEL in shell.ok("channel", "list")
    assert shell.json("channel", "sync")["templates"] == len(DEFINITIONS)
    assert {row["name"] for row in shell.json("template", "list")} >= {"hello_world", "collection"}
    shown = shell.ok("template", "show", "order_update", "en")
    for part in ("APPROVED", "Hi {{name}}", "Track", "BUTTONS"):
        assert part in shown
    assert shell.json("template", "show", "hello_world", "tr")["language"] == "tr"


def test_tokens_are_made_shown_and_revoked(shell: Shell) -> None:
    token = shell.ok("token", "create", "crm", "--scope", "broadcasts:write", "--expires-in", "30").strip()
    assert token.startswith("bc_")
    row = shell.json("token", "list")[-1]
    assert (row["name"], row["scopes"]) == ("crm", ["broadcasts:write"])
    assert token not in shell.ok("token", "list")
    shell.ok("token", "revoke", row["id"])
    assert shell.json("token", "list")[-1]["revokedAt"]


CSV = "\ufeffto;1;2;3;4\r\n+905554440001;Ana;Monday;10:00;papers\r\n905554440002;Ben;Friday;11:00;=1+1\r\n"


def test_a_csv_is_sent_watched_listed_and_exported(field: Field, shell: Shell) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(50)
    field.start(here)
    (shell.folder / "people.csv").write_text(CSV)
    options = ("--channel", CHANNEL, "--template", "appointment", "--language", "en")
    plan = json.loads(shell.ok("send", "people.csv", *options, "--dry-run", "--json"))
    assert (plan["valid"], shell.json("list")) == (2, [])
    sent = shell.ok("send", "people.csv", *options, "--title", "Test", "--watch")
    assert "2 messages accepted" in sent
    row = shell.json("list")[0]
    assert (row["title"], row["status"], row["stats"]["success"]) == ("Test", "completed", 2)
    assert row["id"] in shell.ok("list")
    assert shell.json("status", row["id"])["status"] == "completed"
    assert "success 2" in shell.ok("status", row["id"], "--watch")
    exported = list(csv.DictReader(io.StringIO(shell.ok("export", row["id"]))))
    assert [line["to"] for line in exported] == ["905554440001", "905554440002"]
    assert shell.ok("export", row["id"], "--failed").count("\n") == 1
    assert field.report()["accepted"] == 2


def test_columns_fill_header_and_buttons(shell: Shell) -> None:
    lines = "to,header,name,order,day,button.1\n+905554440001,A-1,Ana,A-1,Monday,A-1\n"
    (shell.folder / "p.csv").write_text(lines)
    options = ("--channel", CHANNEL, "--template", "order_update", "--dry-run", "--json")
    assert json.loads(shell.ok("send", "p.csv", *options))["valid"] == 1


def test_a_json_request_is_sent_paused_resumed_and_stopped(shell: Shell) -> None:
    request = {
        "channel": CHANNEL,
        "template": {"name": "hello_world", "language": "tr"},
        "recipients": [{"to": "+905554440001"}],
    }
    (shell.folder / "r.json").write_text(json.dumps(request))
    options = ("--schedule-at", "2099-01-01T00:00:00Z", "--json")
    accepted = json.loads(shell.ok("send", "r.json", *options))
    assert accepted["status"] == "scheduled"
    assert shell.json("pause", accepted["id"])["status"] == "paused"
    assert shell.json("resume", accepted["id"])["status"] == "scheduled"
    assert "1 cancelled, 0 were already on their way" in shell.ok("stop", accepted["id"])
    assert shell.json("stop", accepted["id"])["stopped"] == {"cancelled": 1, "inFlight": 0}


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("status", "nope"), 1, 'there is no broadcast "nope"'),
        (("stop", "nope"), 1, "there is no broadcast"),
        (("export", "nope"), 1, "there is no broadcast"),
        (("channel", "sync", "42"), 1, "there is no channel"),
        (("channel", "add", "42", "--waba-id", "77", "--access-token", "t"), 1, "no such object"),
        (("channel", "add", CHANNEL, "--waba-id", "7", "--access-token", "expired"), 1, "expired"),
        (("channel", "add", CHANNEL), 2, "Missing option"),
        (("template", "show", "x", "en"), 1, "template list"),
        (("token", "create", "x", "--scope", "all"), 1, "there is no scope"),
        (("token", "revoke", "x"), 1, "token list"),
        (("send", "missing.csv"), 2, "does not exist"),
        (("nonsense",), 2, "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_errors_are_one_sentence_and_an_exit_code(
    shell: Shell, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    done = shell.run(*arguments)
    assert done.returncode == code
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.count("\n") == 1


def test_faulty_rows_are_named_and_nothing_is_stored(shell: Shell) -> None:
    (shell.folder / "bad.csv").write_text("to,1,2,3,4\n0911,a,b,c,d\n+905554440001,a\n+905554440002,a,b,c,\n")
    done = shell.run("send", "bad.csv", "--channel", CHANNEL, "--template", "appointment")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "row 3: has 2 cells, the header has 5",
        'row 2 to: not an international number: "0911"',
        "row 4 variables: BODY 4 must not be empty",
    ]
    assert shell.json("list") == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"phone,1\n1,2\n", 'one of them "to"'),
        (b"\xff\xfe", "UTF-8"),
        (b"", 'one of them "to"'),
        (b"to,1,1\n+905554440001,a,b\n", "a name of its own"),
        (b"to,to\n+905554440001,+905554440002\n", "a name of its own"),
        (b"to,1\n+905554440001,a\x00b\n", "NUL"),
        (b'to,1\n+905554440001,"a\n', "row 2: cannot be read as CSV"),
        (b'{"template": "x", "recipients": []}', "must be an object"),
        (b"{", "not JSON"),
    ],
)
def test_unreadable_files_are_told_in_a_sentence(shell: Shell, content: bytes, complaint: str) -> None:
    (shell.folder / "x.csv").write_bytes(content)
    done = shell.run("send", "x.csv", "--channel", CHANNEL, "--template", "appointment")
    assert done.returncode == 1
    assert complaint in done.stderr


@pytest.mark.parametrize(
    "content",
    [
        b"To;1;2;3;4;\r\n+905554440001;a;b;c;d;\r\n",
        b"to\t1\t2\t3\t4\n+905554440001\ta\tb\tc\td\n",
        b"to,1,2,3,4\r+905554440001,a,b,c,d\r",
    ],
)
def test_spreadsheets_habits_are_understood(shell: Shell, content: bytes) -> None:
    (shell.folder / "x.csv").write_bytes(content)
    options = ("--channel", CHANNEL, "--template", "appointment", "--dry-run", "--json")
    assert json.loads(shell.ok("send", "x.csv", *options))["valid"] == 1


@pytest.mark.parametrize("pace", ["inf", "nan", "0", "-1", "1e-9", "1e9"])
def test_an_impossible_pace_is_refused(shell: Shell, pace: str) -> None:
    done = shell.run("channel", "add", CHANNEL, "--waba-id", "77", "--access-token", "t", "--pace", pace)
    assert (done.returncode, done.stderr.partition(":")[0]) == (1, "--pace")


@pytest.mark.parametrize(
    ("number", "waba", "token", "option"),
    [
        ("../../x", "77", "t", "PHONE_NUMBER_ID"),
        ("1", "x", "t", "--waba-id"),
        ("1", "7", "a\nb", "--access-token"),
    ],
)
def test_ids_and_tokens_are_checked_before_they_travel(
    shell: Shell, number: str, waba: str, token: str, option: str
) -> None:
    done = shell.run("channel", "add", number, "--waba-id", waba, "--access-token", token)
    assert (done.returncode, done.stderr.partition(":")[0]) == (1, option)
    assert "a\nb" not in done.stderr


def test_an_unusable_place_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = Shell(tmp_path, BROADCASTER_DATA_DIR=str(tmp_path / "file" / "x")).run("list")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "broadcaster.db").write_bytes(b"not a database" * 100)
    done = Shell(tmp_path).run("list")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "database" in done.stderr


def test_watching_leaves_standard_output_to_the_document(field: Field, shell: Shell) -> None:
    field.sandbox("--latency", "5")
    here = field.installation(50)
    field.start(here)
    (shell.folder / "people.csv").write_text(CSV)
    options = ("--channel", CHANNEL, "--template", "appointment", "--watch", "--json")
    assert json.loads(shell.ok("send", "people.csv", *options))["status"] == "completed"


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    done = Shell(tmp_path, BROADCASTER_PROT="1").run("run")
    assert done.returncode == 1
    assert "did you mean BROADCASTER_PORT" in done.stderr


def test_every_scope_may_be_given(shell: Shell) -> None:
    scopes = [word for scope in access.SCOPES for word in ("--scope", scope)]
    assert shell.ok("token", "create", "all", *scopes).startswith("bc_")


def test_the_demo_ends_well(tmp_path: Path) -> None:
    done = Shell(tmp_path).process("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("300/300", "The counters agree.", "131026", "delivered"):
        assert part in done.stdout


@pytest.mark.parametrize(("name", "command"), list(commands_of(cli)), ids=lambda value: str(value))
def test_every_command_has_an_example_and_every_option_a_help(name: str, command: click.Command) -> None:
    assert f"Example: broadcaster {name}" in (command.help or "").replace("BROADCASTER_PORT=9000 ", "")
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help, option.name


def test_webhooks_are_added_shown_and_removed(shell: Shell) -> None:
    shell.environ["BROADCASTER_EVENT_TARGETS"] = "127.0.0.0/8"
    made = shell.json("webhook", "add", "http://127.0.0.1:9009/hooks", "--type", "broadcast.finished")
    assert made["secret"].startswith("whsec_")
    [row] = shell.json("webhook", "list")
    assert (row["id"], row["types"]) == (made["id"], ["broadcast.finished"])
    assert "on its way" in shell.ok("webhook", "test", made["id"])
    shell.ok("webhook", "remove", made["id"])
    assert shell.json("webhook", "list") == []
    assert shell.run("webhook", "add", "http://10.0.0.1/").returncode == 1


def test_opt_outs_by_hand_and_by_csv(shell: Shell) -> None:
    listed = shell.folder / "people.csv"
    listed.write_text("to\n+905554443302\n+905554443303\n")
    told = shell.ok("suppression", "add", "+905554443301", "--file", str(listed), "--reason", "phone")
    assert "3 people" in told
    assert [row["reason"] for row in shell.json("suppression", "list")] == ["phone"] * 3
    shell.ok("suppression", "remove", "+905554443302")
    assert len(shell.json("suppression", "list")) == 2
    assert shell.run("suppression", "add", "0911").returncode == 1
    assert shell.run("suppression", "add", "0555 444 33 04").returncode == 1
    listed.write_text("to\n0555 444 33 05\n")
    shell.ok("suppression", "add", "0555 444 33 04", "--file", str(listed), "--country", "tr")
    shell.ok("suppression", "remove", "(0555) 444-33-04", "--country", "TR")
    assert shell.json("suppression", "list")[-1]["to"] == "+905554443305"
    assert "UK" in shell.run("suppression", "remove", "5554443305", "--country", "UK").stderr
    assert shell.run("suppression", "remove", "+905554443302").returncode == 1


def test_the_dashboards_password_is_set_from_standard_input(shell: Shell) -> None:
    assert "is set" in shell.ok("dashboard-password", stdin="a long password\n")
    assert shell.run("dashboard-password", stdin="short\n").returncode == 1


def test_the_first_command_makes_the_database_without_a_word_of_log(tmp_path: Path) -> None:
    done = Shell(tmp_path).process("channel", "list", "--json")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")
