"""What a command imports: starting must not cost more than the work."""

import ast
import subprocess
import sys

import pytest

from broadcaster.cli.base import COMMANDS, cli
from tests.support.commands import commands_of
from tests.support.shell import Shell

WEB = {"falcon", "jinja2", "prometheus_client", "waitress"}
SENDING = {"aiohttp", "httptools", "uvloop"}
DATA = {"cryptography", "cysqlite", "huey", "orjson", "peewee", "phonenumbers", "pydantic"}
OTHERS = {"requests", "rich.progress", "standardwebhooks", "structlog"}
HEAVY = WEB | SENDING | DATA | OTHERS

SCRIPT = """
import atexit, sys
atexit.register(lambda: print(sorted(set(sys.modules) & {heavy}), file=sys.stderr))
from broadcaster.cli import main
main()
"""


def imported(shell: Shell, *arguments: str) -> set[str]:
    """Those of HEAVY that a command imports in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("{heavy}", repr(HEAVY)), *arguments],
        env=shell.environ,
        cwd=shell.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(ast.literal_eval(done.stderr))


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("completion", "fish")], ids=" ".join)
def test_help_needs_none_of_what_commands_need(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert imported(shell, *arguments) == set()


@pytest.mark.parametrize("arguments", [("token", "list"), ("purge", "--dry-run")], ids=" ".join)
def test_a_command_about_data_needs_neither_server_nor_sender(
    shell: Shell, arguments: tuple[str, ...]
) -> None:
    assert imported(shell, *arguments) <= DATA | {"structlog"}


def test_the_sandbox_needs_nothing_of_ours(shell: Shell) -> None:
    assert imported(shell, "sandbox", "--help") <= SENDING | {"orjson"}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_listed_of_a_command_is_its_own_help(name: str) -> None:
    command = cli.get_command(cli.make_context("broadcaster", [name], resilient_parsing=True), name)
    assert command is not None
    assert command.name == name
    assert COMMANDS[name].summary == command.get_short_help_str(1000)


def test_every_command_of_the_modules_is_listed(shell: Shell) -> None:
    listed = shell.ok("--help")
    for name, _ in commands_of(cli):
        assert f"\n  {name.split()[0]} " in listed
    assert "\n  create " in shell.ok("token", "--help")


def test_the_installed_script_ends_as_main_does(shell: Shell) -> None:
    for arguments in (("status", "nope"), ("nonsense",), ("token", "list", "--json")):
        script, within = shell.process(*arguments), shell.run(*arguments)
        assert (script.returncode, script.stdout, script.stderr) == (
            within.returncode,
            within.stdout,
            within.stderr,
        )


def test_a_full_disk_is_told_in_a_sentence(shell: Shell) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "broadcaster", "channel", "list"],
            env=shell.environ, cwd=shell.folder, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "cannot read or write: No space left on device\n")
