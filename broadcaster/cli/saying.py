"""What the command line says goes through here: nothing from outside drives the operator's terminal.

Titles, names, refusals of Meta's and refused input may hold control characters, which move the cursor,
change colours or answer in the operator's name, and directional marks, which show one number as another.
"""

import re

import click

# Control characters but the end of a line and a tab, directional marks, other ends of lines, halves of pairs.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff9-\ufffb\ud800-\udfff]"
)
_BREAKS = str.maketrans({"\n": "\\n", "\t": "\\t"})


def printable(text: str) -> str:
    """The text with every character that drives a terminal as its escape."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """The same on one line: what is quoted cannot pass for a line of ours."""
    return printable(text).translate(_BREAKS)


def say(text: str, err: bool = False) -> None:
    """Print a line of ours with whatever it quotes, on standard output or error."""
    click.echo(one_line(text), err=err)


def say_lines(text: str, err: bool = False) -> None:
    """Print a text of ours that has lines, without a line end of its own."""
    click.echo(printable(text), err=err, nl=False)
