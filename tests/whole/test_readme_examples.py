"""Every example of the README runs, in its order, against a sandbox and a server of its own."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from broadcaster.sandbox import testbed
from broadcaster.sandbox.testbed import Process
from tests.support.readme import README, ROOT, Example, examples
from tests.support.waiting import wait_until

NOT_RUN = {
    "make demo": "the command line's tests run the demo",
    "python3 -m venv /opt/broadcaster": "it installs packages; `make dist-check` installs the wheel",
    "broadcaster channel add 813497231850626": "it needs a number at Meta; the tour adds the sandbox's",
    "broadcaster webhook add https://crm.example": "there is no such address",
}
"""Shell blocks that begin with these words do not run here, for these reasons."""
NOT_EXAMPLES = {
    "contrib/broadcaster.service": "needs systemd",
    "contrib/Caddyfile": "needs Caddy and a public name",
    "contrib/nginx.conf": "needs nginx and a certificate",
}
"""Files the README points to that do not run here, for these reasons."""


class Reader:
    """Somebody who types the README's examples into terminals of one directory, one after the other.

    What a block exports is known to the next; the two addresses of the README are free ports here.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.printed: dict[int, str] = {}
        self.processes: list[Process] = []
        # Bound but not listening: nobody else is given the port, and the server can still take it.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.server_url = f"http://127.0.0.1:{self._reserved.getsockname()[1]}"
        self.sandbox_url = "http://127.0.0.1:8090"
        shutil.copytree(ROOT / "data" / "samples", folder / "data" / "samples")
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\nmax-time = 30\n")
        (folder / "exported").touch()

    def type(self, example: Example) -> None:
        """Run a block; its output is kept under its line. Raises AssertionError if it fails."""
        text = self._with_our_addresses(example.text)
        if example.language == "python":
            (self.folder / "example.py").write_text(text)
            text = "python example.py\n"
        *commands, last = text.splitlines()
        if last.startswith(("broadcaster sandbox", "broadcaster run")):
            self._shell(example, "\n".join(commands))
            self._serve(last.split()[1:])
        else:
            self._shell(example, text)

    def _with_our_addresses(self, text: str) -> str:
        text = text.replace("http://127.0.0.1:8080", self.server_url)
        return text.replace("http://127.0.0.1:8090", self.sandbox_url)

    def _shell(self, example: Example, text: str) -> None:
        script = f"set -aeuo pipefail\n. ./exported\n{text}\nexport -p > exported\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self._environ(),
            input="a password of the tour\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        shown = f"README.rst:{example.line}\n{text}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, shown
        self.printed[example.line] = done.stdout

    def _environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "BROADCASTER" not in name}
        kept = {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")}
        return kept | {"CURL_HOME": str(self.folder), "VIRTUAL_ENV_DISABLE_PROMPT": "1"}

    def _serve(self, arguments: list[str]) -> None:
        """Start what runs until it is stopped, and return when it is ready."""
        half = arguments[0]
        port = {"sandbox": ["--port", "0"], "run": []}[half]
        process = Process(
            *arguments,
            *port,
            environ={"BROADCASTER_PORT": self.server_url.rpartition(":")[2]},
            output=self.folder / f"{half}.log",
        )
        self.processes.append(process)
        if half == "sandbox":
            self.sandbox_url = process.wait_for(lambda line: line if line.startswith("http://") else None)
        else:
            process.wait_for(lambda line: line if "web ready" in line else None)

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        exported = (self.folder / "exported").read_text()
        token = re.findall(r'^declare -x TOKEN="(.*)"$', exported, re.MULTILINE)[0]
        session = requests.Session()
        session.trust_env = False
        answer = session.request(
            method,
            self.server_url + path,
            headers={"Authorization": f"Bearer {token}"},
            json=document,
            timeout=30,
        )
        assert answer.ok, answer.text
        return answer.json()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        self._reserved.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    typing = Reader(tmp_path)
    yield typing
    typing.close()


def test_every_block_says_its_language() -> None:
    assert {example.language for example in examples()} == {"shell", "python", "json"}
    assert re.search(r"::$", re.sub(r"^ *\.\. code-block.*$", "", README, flags=re.M), re.M) is None


@pytest.mark.parametrize("words", NOT_RUN)
def test_what_is_not_run_is_in_the_readme(words: str) -> None:
    assert any(example.text.startswith(words) for example in examples())


@pytest.mark.parametrize("path", NOT_EXAMPLES)
def test_files_that_are_not_run_exist(path: str) -> None:
    assert path in README and (ROOT / path).is_file()


@pytest.mark.skipif(not shutil.which("curl") and "CI" not in os.environ, reason="curl is not installed")
def test_every_example_runs_and_everybody_reads_what_was_sent(reader: Reader) -> None:
    for example in examples():
        if example.language in ("shell", "python") and not example.text.startswith(tuple(NOT_RUN)):
            reader.type(example)

    def all_read() -> Any:
        rows = reader.ask("GET", "/v1/broadcasts?limit=100")["data"]
        return rows if all(row["delivery"]["read"] == row["stats"]["total"] for row in rows) else None

    rows = wait_until(all_read)
    assert [row["status"] for row in rows] == ["completed"] * 7
    report = testbed.sandbox_report(reader.sandbox_url)
    assert report["refused"] == {} and report["duplicates"] == 0
    assert report["accepted"] == sum(row["stats"]["total"] for row in rows)
    promised = re.findall(r'``"delivery": ({.*})``', README)
    tour = next(row for row in rows if row["title"] == "Tour")
    assert [tour["delivery"]] == [json.loads(text) for text in promised]
