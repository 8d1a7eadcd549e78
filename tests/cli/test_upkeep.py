"""Backups, forgetting, completion and the doctor, as commands."""

import shutil

import pytest

from tests.support.samples import CHANNEL
from tests.support.shell import Shell


def test_the_commands_do_the_same(shell: Shell) -> None:
    copy = str(shell.folder / "copy.db")
    assert "verified" in shell.ok("backup", copy)
    again = shell.run("backup", copy)
    assert (again.returncode, "--force" in again.stderr) == (1, True)
    assert "restored; 0 broadcasts are paused" in shell.ok("restore", copy, "--yes")
    assert shell.json("purge", "--days", "1") == {"broadcasts": 0, "messages": 0, "contacts": 0}
    assert "would erase" in shell.ok("purge", "--dry-run")
    assert shell.json("erase", "+905554443301", "--yes")["messages"] == 0
    assert shell.run("erase", "0911", "--yes").returncode == 1
    assert shell.json("erase", "0555 444 33 01", "--country", "TR", "--yes")["messages"] == 0
    asked = shell.run("erase", "+905554443301", stdin="n\n")
    assert asked.returncode == 130
    assert shell.json("channel", "list")[0]["id"] == CHANNEL


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_asks_us(shell: Shell, name: str) -> None:
    assert "_BROADCASTER_COMPLETE" in shell.ok("completion", name)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("broadcaster", "chan"), "channel"),
        (("broadcaster", "token", "c"), "create"),
        (("broadcaster", "token", "create", "--sty"), "--style"),
        (("broadcaster", "completion", "f"), "fish"),
    ],
)
def test_what_is_asked_for_is_completed(shell: Shell, words: tuple[str, ...], found: str) -> None:
    shell.environ |= {
        "_BROADCASTER_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    assert shell.process().stdout.split() == [f"plain,{found}"]


def test_a_token_of_meta_that_cannot_be_read_is_told(shell: Shell) -> None:
    key = shell.folder / "data" / "secret.key"
    key.unlink()
    done = shell.run("doctor")
    assert done.returncode == 1
    assert "secret.key is missing" in done.stderr
    key.write_text("0" * 43 + "=\n")
    done = shell.run("doctor")
    assert done.returncode == 1
    assert "were encrypted with another key" in done.stderr
