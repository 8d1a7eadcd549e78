"""Tests stand alone: what they share is in tests/support, and fixtures are asked for by name."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MODULES = sorted(TESTS.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules of ours that a file imports from."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("tests.")}


def is_shared(name: str) -> bool:
    """Whether a module is there to be imported: helpers, worlds, planted faults."""
    shared = ("tests.support", "tests.torture", "tests.mutants", "tests.simulation")
    return name.startswith(shared) and ".test_" not in name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TESTS)))
def test_nothing_is_imported_from_a_test_or_from_conftest(path: Path) -> None:
    assert {name for name in imported(path) if not is_shared(name)} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TESTS)))
def test_what_runs_alone_is_where_make_looks_for_it(path: Path) -> None:
    marks = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
    assert path.parent.name == "whole" or "alone" not in {node.attr for node in marks}
