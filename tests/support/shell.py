"""The command line in one installation, within this process or as one of its own."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from click.testing import CliRunner

from broadcaster.cli import main
from broadcaster.config import PREFIX
from broadcaster.store import database

Done = CompletedProcess[str]


class Shell:
    """The command line in one installation without a server."""

    def __init__(self, folder: Path, **environ: str):
        self.folder = folder
        self.environ = {"BROADCASTER_DATA_DIR": str(folder / "data")} | environ

    def run(self, *arguments: str, stdin: str = "") -> Done:
        """How a command ends, run within this process: what it costs to start one is most of its cost."""
        unset = {name: None for name in os.environ if name.startswith(PREFIX)}
        code: Any = 0
        isolation = CliRunner().isolation(stdin, unset | self.environ)
        with _undisturbed(), chdir(self.folder), isolation as streams:
            try:
                main(arguments)
            except SystemExit as end:
                code = end.code
            sys.stdout.flush()
            sys.stderr.flush()
            stdout, stderr = (stream.getvalue().decode() for stream in streams[:2])
        return Done(arguments, code, stdout, stderr)

    def process(self, *arguments: str, stdin: str = "") -> Done:
        """How a command ends that runs as its users run it: the installed script, in a new process."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return subprocess.run(
            [Path(sys.executable).with_name("broadcaster"), *arguments],
            env=inherited | self.environ,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def ok(self, *arguments: str, stdin: str = "") -> str:
        """What a command prints that must end well."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Undo what a command does to the process it believes to be its own: logs, umask, time zone, database."""
    root = logging.getLogger()
    handlers, level, zone, umask = root.handlers[:], root.level, os.environ.get("TZ"), os.umask(0o077)
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, level
        os.umask(umask)
        os.environ.pop("TZ", None)
        if zone is not None:
            os.environ["TZ"] = zone
        time.tzset()
        database.close()
