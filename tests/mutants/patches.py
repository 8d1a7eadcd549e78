"""The planted faults: patches with a head that says what is wrong and which tests may notice."""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


class Mutant(NamedTuple):
    """A fault: its patch, what is wrong with it, and the tests or folders that may notice."""

    path: Path
    fault: str
    tests: list[str]

    @property
    def name(self) -> str:
        return self.path.stem

    def plant(self, tree: Path, *options: str) -> None:
        """Apply the patch to a tree; raises CalledProcessError where it does not fit."""
        # Where the tree lies in nobody's repository, git applies the patch to the files as they are.
        environ = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)}
        command = ["git", "apply", *options, str(self.path)]
        subprocess.run(command, cwd=tree, env=environ, check=True, capture_output=True)

    def mend(self, tree: Path) -> None:
        """Take it back."""
        self.plant(tree, "--reverse")


def all_mutants() -> list[Mutant]:
    """Every fault of this folder, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.patch"))]


def _read(path: Path) -> Mutant:
    fault, tests = path.read_text().splitlines()[:2]
    return Mutant(path, fault.removeprefix("Fault: "), tests.removeprefix("Tests: ").split())
