"""The README begins with what works and names every command, setting and route there is."""

import re
from pathlib import Path
from typing import Any

import click
import pytest

from broadcaster.cli import cli
from broadcaster.config import Settings
from broadcaster.sandbox.outcomes import BY_LAST_DIGITS
from broadcaster.services import access
from broadcaster.settlement import event_documents
from tests.conftest import Client

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.rst").read_text()


def test_it_begins_with_the_two_commands() -> None:
    commands = [line.strip() for line in README.splitlines() if line.startswith("    ")]
    assert commands[:2] == ["make demo", "make test"]


def test_every_guarantee_names_tests_there_are() -> None:
    guarantees = README.partition("What it promises")[2].partition("The dashboard")[0]
    files = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    named = re.findall(r"``(test_\w+)(\.py)?``", guarantees)
    assert len(named) >= 14
    for name, is_file in named:
        assert f"{name}.py" in files if is_file else any(f"def {name}(" in text for text in files.values()), (
            name
        )


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_named(field: str) -> None:
    assert f"``BROADCASTER_{field.upper()}``" in README


def commands_of(group: click.Group, prefix: str = "") -> list[str]:
    found = []
    for name, command in group.commands.items():
        found += commands_of(command, f"{name} ") if isinstance(command, click.Group) else [prefix + name]
    return found


@pytest.mark.parametrize("command", commands_of(cli))
def test_every_command_is_named(command: str) -> None:
    group, _, name = command.rpartition(" ")
    lines = [line for line in README.splitlines() if line.startswith("``broadcaster ")]
    assert any(name in line and group in line for line in lines)


@pytest.mark.parametrize("scope", access.SCOPES)
def test_every_scope_is_named(scope: str) -> None:
    assert f"``{scope}``" in README


@pytest.mark.parametrize("kind", event_documents.TYPES)
def test_every_event_is_named(kind: str) -> None:
    assert f"``{kind}``" in README


@pytest.mark.parametrize("digits", BY_LAST_DIGITS)
def test_every_magic_number_is_named(digits: str) -> None:
    assert f"{digits}  " in README


def test_every_route_is_named(client: Client) -> None:
    app: Any = client._app.app
    routes = {node.uri_template for node in _nodes(app._router._roots) if node.resource}
    assert len(routes) >= 13
    for route in routes:
        fixed = route.partition("{")[0].rstrip("/")
        last = route.rpartition("/")[2] if not route.endswith("}") else fixed.rpartition("/")[2]
        assert fixed in README and last in README, route


def _nodes(roots: list[Any]) -> list[Any]:
    return [node for root in roots for node in [root, *_nodes(root.children)]]
