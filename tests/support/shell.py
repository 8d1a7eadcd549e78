"""The command line in one installation."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Shell:
    """The command line in one installation without a server."""

    def __init__(self, folder: Path, **environ: str):
        self.folder = folder
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("BROADCASTER_")}
        self.environ |= {"BROADCASTER_DATA_DIR": str(folder / "data")} | environ

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "broadcaster", *arguments],
            env=self.environ,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def ok(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))
