"""The planted faults fit the code as it is; whether the suite notices them, `make mutants` sees."""

import shutil
from pathlib import Path

import pytest

from tests.mutants.patches import ROOT, Mutant, all_mutants


def test_there_are_at_least_twenty_and_each_says_what_is_wrong() -> None:
    mutants = all_mutants()
    assert len(mutants) >= 20
    assert all(one.fault.endswith(".") and one.tests for one in mutants)
    assert {test for one in mutants for test in one.tests if not (ROOT / test).exists()} == set()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("mutants")
    shutil.copytree(ROOT / "broadcaster", tree / "broadcaster", ignore=shutil.ignore_patterns("__pycache__"))
    return tree


@pytest.mark.parametrize("mutant", all_mutants(), ids=lambda one: one.name)
def test_a_planted_fault_fits_the_code(mutant: Mutant, tree: Path) -> None:
    mutant.plant(tree)
    mutant.mend(tree)
    assert not list(tree.rglob("*.orig"))
    assert not list(tree.rglob("*.rej"))
