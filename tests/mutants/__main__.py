"""Plants each fault of this folder in a copy of the tree and sees whether the suite notices.

    python -m tests.mutants [NAME ...]

A patch says in its first lines what is wrong with it and which tests may notice. A fault that no test
notices is a survivor, and one whose patch no longer fits is a failure, too: the exit code is 1.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.patches import ROOT, all_mutants

_MOST_SECONDS = 600
"""Of one fault: a suite that hangs has noticed."""


def main(names: Sequence[str]) -> int:
    """Try these faults, or all; returns the exit code."""
    mutants = [one for one in all_mutants() if not names or one.name in names]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="broadcaster-mutants-") as folder:
        tree = Path(folder) / "tree"
        _copy(tree)
        for mutant in mutants:
            begun = time.monotonic()
            mutant.plant(tree)
            noticed_by = _noticed_by(tree, mutant.tests)
            mutant.mend(tree)
            survivors += noticed_by is None
            told = f"noticed by {noticed_by}" if noticed_by else "SURVIVED"
            print(f"{mutant.name}: {told} ({time.monotonic() - begun:.0f} s)", flush=True)
    print(f"{len(mutants)} faults planted, {survivors} survived")
    return 1 if survivors else 0


def _copy(tree: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            target = tree / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)


def _noticed_by(tree: Path, tests: Sequence[str]) -> str | None:
    """The first test that fails in a tree, None if all pass."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "2", "-p", "no:cacheprovider", *tests]
    # The tree's own package comes before the one that is installed.
    environ = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=tree,
            env=environ,
            capture_output=True,
            text=True,
            timeout=_MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "a test that never ended"
    if done.returncode == 0:
        return None
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0] if failed else done.stdout[-300:] + done.stderr[-300:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
