"""Tables on a terminal."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

_FILE_WIDTH = 200

# Nothing from outside is markup, and a file gets whole lines instead of a terminal's 80 columns.
out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)


err = Console(highlight=False, markup=False, stderr=True)


def print_document(document: Mapping[str, Any], as_json: bool) -> None:
    """One thing, a line a field; fields without a value are left out."""
    if as_json:
        click.echo(json.dumps(document))
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
        out.print(f"note: {note['field']}: {note['message']}")
    if preview:
        out.print("The first message:")
        for line in _read(preview):
            out.print(f"  {line}")


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
        click.echo(json.dumps(rows))
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
        return ", ".join(f"{key} {_cell(inner)}" for key, inner in value.items() if inner is not None)
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return str(value)
