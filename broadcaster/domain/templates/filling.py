"""Filling: the values of one message, or of one card, on their way into its places."""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

from broadcaster.domain.templates.shapes import Parameter
from broadcaster.errors import Faults

LONGEST_VALUE = 1000
"""Characters of a payload, a token or the name of a place. Ours: Meta states no limit."""
_FORBIDDEN = re.compile(r"[\n\r\t]| {5,}")


class Filling:
    """Where the faults of one message go, and what its components have to know of each other.

    `label` stands before each message, `body` holds the body's parameters once it is filled.
    """

    __slots__ = ("body", "faults", "label", "notes", "where")

    def __init__(self, where: str, faults: Faults, notes: Faults | None, label: str = ""):
        self.where = where
        self.faults = faults
        self.notes = notes
        self.label = label
        self.body: list[Parameter] = []

    def of_card(self, index: int) -> "Filling":
        """The filling of one card of the same message."""
        return Filling(self.where, self.faults, self.notes, f"CAROUSEL card {index}: ")

    def fault(self, message: str) -> None:
        self.faults.add(self.where, self.label + message)

    def note(self, message: str) -> None:
        """A limit on which Meta's own pages disagree."""
        if self.notes is not None:
            self.notes.add(self.where, self.label + message)

    def is_usable(self, value: Any, component: str, name: str) -> bool:
        """Meta's rules for a text: not empty, no line break or tab, no more than four spaces in a row."""
        if not isinstance(value, str):
            self.fault(f"{component} {name} must be a text")
        elif not value or value.isspace():
            self.fault(f"{component} {name} must not be empty")
        elif not (value.isprintable() and "     " not in value) and _FORBIDDEN.search(value):
            self.fault(
                f"{component} {name} must not contain line breaks, tabs or more than four spaces in a row"
            )
        else:
            return True
        return False

    def check_length(self, what: str, value: str) -> None:
        if len(value) > LONGEST_VALUE:
            self.fault(f"{what} has more than {LONGEST_VALUE} characters")


def only_value(given: Any) -> Any:
    """The value of a component that takes one, from a list of one or a map with the key 1."""
    if isinstance(given, list):
        return given[0] if len(given) == 1 else None
    return given.get("1", given) if len(given) == 1 else given or None


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def listed(names: Iterable[Any]) -> str:
    """Names for a message: the first twenty, each cut to forty characters."""
    every = list(names)
    shown = ", ".join(str(name)[:40] for name in islice(every, 20)) or "none"
    return shown + (f" and {len(every) - 20} more" if len(every) > 20 else "")
