"""The README and its code blocks."""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.rst").read_text()
_BLOCK = re.compile(r"^( *)\.\. code-block:: (\w+)\n\n((?:\1 +.*\n|\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """A code block of the README and the line it begins in."""

    line: int
    language: str
    text: str


def examples(language: str | None = None) -> list[Example]:
    """The code blocks in their order, of one language if given."""
    found = [
        Example(README.count("\n", 0, block.start()) + 1, block[2], textwrap.dedent(block[3]).strip() + "\n")
        for block in _BLOCK.finditer(README)
    ]
    return [example for example in found if language in (None, example.language)]
