"""Logs: one JSON object a line in plain characters, whoever failed."""

import json
import subprocess
import sys

FAILING = """
import threading
from broadcaster import log

log.set_up("INFO")

def fail():
    raise RuntimeError("to +905554443301 \\x1b]0;owned\\x07\\x9b\\u202e\\nforged")

thread = threading.Thread(target=fail, name="chores")
thread.start()
thread.join()
log.get("x").info("\\x1b[31m\\u202e", reason="\\x9b\\u2066")
"""


def test_what_is_logged_is_one_line_of_plain_characters_even_of_a_thread_that_ends_in_an_error() -> None:
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, timeout=60)
    first, second = map(json.loads, done.stderr.splitlines())
    assert done.stderr.replace("\n", "").isascii()
    assert done.stderr.replace("\n", "").isprintable()
    assert "chores" in first["event"]
    assert "RuntimeError" in first["exception"]
    assert "+905554443301" not in done.stderr
    assert second["event"] == "\x1b[31m\u202e"
