"""Tables on a terminal, free of what drives it."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment
from rich.table import Table

from broadcaster.cli.saying import one_line, printable, say

_FILE_WIDTH = 200


class _Plain(RenderHook):
    """Shows whatever is printed without what drives a terminal but our own colours."""

    def __init__(self, console: Console):
        self._console = console

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Filtered(self._console, renderable) for renderable in renderables]


class _Filtered:
    """A renderable of which every piece of text is printable."""

    def __init__(self, console: Console, renderable: ConsoleRenderable):
        self._console = console
        self._renderable = renderable

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in self._console.render(self._renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def _console(**options: Any) -> Console:
    # Nothing from outside is markup.
    made = Console(highlight=False, markup=False, **options)
    made.push_render_hook(_Plain(made))
    return made


# A file gets whole lines instead of a terminal's 80 columns.
out = _console(width=None if sys.stdout.isatty() else _FILE_WIDTH)
err = _console(stderr=True)


def print_document(document: Mapping[str, Any], as_json: bool) -> None:
    """One thing, a line a field; fields without a value are left out."""
    if as_json:
        say(json.dumps(document))
        return
    table = Table(show_header=False, box=None)
    for key, value in document.items():
        if value is not None:
            table.add_row(key, _cell(value))
    out.print(table)


def print_plan(document: Mapping[str, Any], as_json: bool) -> None:
    """What would happen, and the first message as its reader will see it."""
    if as_json:
        print_document(document, True)
        return
    preview, notes = document["preview"], document["notes"]
    shown = {k: v for k, v in document.items() if k not in ("preview", "notes")}
    countries = (f"{one['country'] or 'none'} {one['messages']}" for one in document["countries"])
    print_document({**shown, "countries": ", ".join(countries)}, False)
    for note in notes:
        out.print(one_line(f"note: {note['field']}: {note['message']}"))
    if preview:
        out.print("The first message:")
        for line in _read(preview):
            out.print(f"  {one_line(line)}")


def _read(preview: dict[str, Any]) -> list[str]:
    """A message's parts from top to bottom."""
    header = preview["header"]
    lines: list[str] = []
    if header:
        mark = "" if header["format"] == "TEXT" else f"[{header['format'].lower()}] "
        lines.append(f"{mark}{header['text']}")
    lines += preview["body"].splitlines()
    lines += [preview["footer"]] if preview["footer"] else []
    for button in preview["buttons"]:
        lines.append(f"({button['text']})" + (f" {button['value']}" if button["value"] else ""))
    for i, card in enumerate(preview["cards"]):
        lines.append(f"card {i}:")
        lines += [f"  {line}" for line in _read(card)]
    return lines


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Iterable[str], as_json: bool) -> None:
    """Many things, a line each."""
    if as_json:
        say(json.dumps(rows))
        return
    table = Table(box=None, header_style="bold")
    for column in columns:
        # An id cut short is of no use to the next command.
        table.add_column(column, no_wrap=column == "id")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    out.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(
            f"{one_line(str(key))} {_cell(inner)}" for key, inner in value.items() if inner is not None
        )
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return one_line(str(value))
