"""Requests, templates and moments that many tests start from."""

import json
import re
from pathlib import Path
from typing import Any

SANDBOX = Path(__file__).parents[2] / "broadcaster" / "sandbox"
DEFINITIONS = json.loads((SANDBOX / "templates.json").read_text())
BY_NAME = {(row["name"], row["language"]): row for row in DEFINITIONS}
MORE_TEMPLATES = Path(__file__).with_name("templates.json")
KNOWN = DEFINITIONS + json.loads(MORE_TEMPLATES.read_text())
"""What a channel of the tests has: the sandbox's templates and some of our own."""
CHANNEL = "100000000000001"
NOW = 1_795_000_000_000


def request_of(count: int = 3, **changes: Any) -> dict[str, Any]:
    """A broadcast request that is fine unless `changes` spoil it."""
    document = {
        "channel": CHANNEL,
        "template": {"name": "appointment", "language": "en"},
        "recipients": [
            {"to": f"+90555444{i:04d}", "variables": ["Ana", "Monday", "10:00", f"file {i}"]}
            for i in range(count)
        ],
    }
    return document | changes


def masked(document: Any, **masks: str) -> Any:
    """The document with the values of these keys replaced, where they have the form a mask demands.

    A mask is a regular expression; what does not fit it stays, and spoils the comparison.
    """
    if isinstance(document, list):
        return [masked(inner, **masks) for inner in document]
    if not isinstance(document, dict):
        return document
    shown = {}
    for key, value in document.items():
        fits = key in masks and re.fullmatch(masks[key], str(value))
        shown[key] = "*" if fits else masked(value, **masks)
    return shown
