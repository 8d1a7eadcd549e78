"""Nothing from outside drives the operator's terminal, in any command or error."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
from rich.table import Table

from broadcaster import cli
from broadcaster.cli import base, terminal
from broadcaster.cli.base import main
from broadcaster.cli.saying import one_line, printable, say
from tests.support.samples import CHANNEL
from tests.support.shell import Shell

EVIL = "\x1b]0;owned\x07\x9b31m\u202egnp\u2066\x08\x7f\r\u061c\u2028x"
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb]")


def assert_harmless(text: str) -> None:
    assert UNSAFE.findall(text) == []


def test_what_drives_a_terminal_is_shown_as_its_escape() -> None:
    assert printable("a\x1b[31m\u202eb\nc\td \u00e9\U0001f600") == "a\\x1b[31m\\u202eb\nc\td \u00e9\U0001f600"
    assert_harmless(printable(EVIL))


def test_no_control_character_and_no_mark_of_direction_is_left_on_a_line() -> None:
    marks = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    for code in range(0x30000):
        character = chr(code)
        is_safe = unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        is_safe &= unicodedata.bidirectional(character) not in marks and character not in "\u200e\u200f\u061c"
        assert is_safe or character not in one_line(character), hex(code)


def test_what_is_quoted_cannot_pass_for_a_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    forged = "x\nbc_2 completed\tall good"
    with terminal.out.capture() as captured:
        terminal.print_rows(
            [{"id": "bc_1", "title": forged, "stats": {forged: [forged]}}], ("id", "title"), False
        )
        terminal.print_document({"title": forged, "about": {forged: forged}}, False)
    assert len(captured.get().splitlines()) == 4
    say(forged)
    assert capsys.readouterr().out == "x\\nbc_2 completed\\tall good\n"


def test_an_error_that_nobody_foresaw_is_harmless(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise RuntimeError(EVIL)

    monkeypatch.setattr(base, "cli", fail)
    with pytest.raises(SystemExit) as ended:
        main(["list"])
    told = capsys.readouterr().err
    assert ended.value.code == 1
    assert "RuntimeError" in told
    assert_harmless(told)


def test_tables_are_harmless() -> None:
    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(EVIL)
    for console in (terminal.out, terminal.err):
        with console.capture() as captured:
            console.print(table)
            console.print(EVIL)
        assert captured.get().count("owned") == 4
        assert_harmless(captured.get())


@pytest.mark.parametrize(
    "arguments",
    [
        (EVIL,),
        ("status", EVIL),
        ("status", f"--{EVIL}"),
        ("stop", EVIL),
        ("export", EVIL),
        ("retry", EVIL, "--code", EVIL),
        ("send", f"missing{EVIL}.csv"),
        ("send", "-", "--channel", EVIL, "--template", EVIL),
        ("send", "-", "--country", EVIL),
        ("suppression", "add", EVIL),
        ("suppression", "remove", EVIL),
        ("suppression", EVIL),
        ("erase", EVIL, "--yes"),
        ("erase", EVIL),
        ("template", "show", EVIL, EVIL),
        ("channel", "remove", EVIL),
        ("channel", "add", EVIL, "--waba-id", EVIL, "--access-token", "x"),
        ("token", "create", EVIL, "--scope", EVIL),
        ("token", "revoke", EVIL),
        ("webhook", "add", f"http://{EVIL}/", "--type", EVIL),
        ("webhook", "remove", EVIL),
        ("backup", f"{EVIL}/x"),
        ("restore", EVIL),
        ("list", "--status", EVIL),
        ("purge", "--days", EVIL),
        ("completion", EVIL),
    ],
    ids=lambda arguments: " ".join(arguments)[:20].encode("unicode_escape").decode(),
)
def test_no_refusal_repeats_what_drives_a_terminal(shell: Shell, arguments: tuple[str, ...]) -> None:
    # What is typed at a question comes back from the terminal itself.
    stdin = f"to,{EVIL}\n{EVIL},1\n" if "-" in arguments else "n\n"
    done = shell.run(*arguments, stdin=stdin)
    assert done.returncode != 0
    assert done.stdout + done.stderr
    assert_harmless(done.stdout + done.stderr)


def test_titles_reasons_and_texts_of_others_are_harmless(shell: Shell) -> None:
    document = {
        "channel": CHANNEL, "title": EVIL, "metadata": {"x": EVIL}, "onInvalid": "fail",
        "template": {"name": "appointment", "language": "en"},
        "recipients": [{"to": "+905554443301", "variables": [EVIL, "a", "b", "c"]}, {"to": EVIL}],
    }  # fmt: skip
    asked = shell.folder / "asked.json"
    asked.write_text(json.dumps(document))
    shell.ok("suppression", "add", "+905554443302", "--reason", EVIL)
    planned = shell.run("send", str(asked), "--dry-run")
    sent = shell.run("send", str(asked))
    assert sent.returncode == 0, sent.stderr
    public_id = sent.stdout.partition(":")[0]
    commands = (
        ("list",),
        ("status", public_id),
        ("errors", public_id),
        ("suppression", "list"),
        ("token", "list"),
    )
    told = [shell.run(*command) for command in commands]
    assert any("owned" in done.stdout for done in told)
    for done in (planned, sent, *told):
        assert_harmless(done.stdout + done.stderr)


def test_every_command_says_what_it_says_in_one_place() -> None:
    folder = Path(cli.__file__).parent
    direct = re.compile(r"click\.echo\(|click\.secho\(|(?<![.\w])print\(|sys\.std(?:out|err)\.write\(")
    found = {path.name for path in folder.rglob("*.py") if direct.search(path.read_text())}
    # The export is a file for programs, and printable where it goes to a terminal.
    assert found == {"saying.py", "broadcasts.py"}
