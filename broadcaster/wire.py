"""JSON and times as they cross the wire: strict on the way in, one form on the way out."""

import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from broadcaster.errors import Faults, Invalid, Malformed

MAX_DEPTH = 40
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?P<zone>[Zz]|[+-]\d\d:\d\d)?", re.ASCII
)


def loads(body: bytes) -> Any:
    """The JSON document in `body`.

    Raises Malformed for what is no JSON in UTF-8 (NaN and deep nesting included), and
    Invalid, naming the fields, for duplicate keys, NUL characters and lone surrogates:
    Python's parser takes all of these, the next program in the chain does not.
    """
    faults = Faults()

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    faults.add(_printable(key), "the key appears twice in one object")
                seen.add(key)
        return document

    try:
        document = json.loads(
            body.decode("utf-8"), object_pairs_hook=unique, parse_constant=_refuse, parse_float=_finite
        )
    except UnicodeDecodeError:
        raise Malformed("the body is not UTF-8") from None
    except RecursionError:
        raise Malformed("the body is nested too deeply") from None
    except ValueError as error:
        raise Malformed(f"the body is not JSON: {error}") from None
    # Escapes are the only way in for these characters besides a raw NUL, which JSON refuses.
    if _SUSPECT.search(body):
        _check_characters(document, faults)
    if faults:
        raise Invalid(faults)
    return document


def dumps(value: Any) -> str:
    """Compact JSON text, as stored and as sent."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # A whole number of more than 64 bits, in somebody's metadata.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def depth(value: Any) -> int:
    """How deeply lists and objects are nested in `value`; counting stops past MAX_DEPTH."""
    deepest, level = 0, [value]
    while level and deepest <= MAX_DEPTH:
        nested = [v for v in level if isinstance(v, dict | list)]
        deepest += bool(nested)
        level = [inner for v in nested for inner in (v.values() if isinstance(v, dict) else v)]
    return deepest


def parse_time(text: str) -> int:
    """RFC 3339 to epoch milliseconds; raises ValueError when no zone is given or it is no time."""
    match = _RFC3339.fullmatch(text)
    if not match:
        raise ValueError('must be a time like "2026-06-10T07:00:00Z"')
    if not match["zone"]:
        raise ValueError("must say its time zone: append Z for UTC or an offset like +03:00")
    try:
        return int(datetime.fromisoformat(text.upper()).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError("is not a time that exists") from None


def format_time(milliseconds: int | None) -> str | None:
    """Epoch milliseconds to RFC 3339 in UTC with milliseconds; None stays None."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not allowed")


def _check_characters(document: Any, faults: Faults) -> None:
    for where, text in _strings(document):
        if "\x00" in text:
            faults.add(where, "must not contain NUL characters")
        elif not _encodable(text):
            faults.add(where, "contains half of a surrogate pair")


def _strings(document: Any) -> Iterator[tuple[str, str]]:
    """Every string of a document with its path; a key stands for itself."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, str):
            yield where or "body", value
        elif isinstance(value, list):
            waiting.extend((f"{where}[{i}]", inner) for i, inner in enumerate(value))
        elif isinstance(value, dict):
            for key, inner in value.items():
                path = f"{where}.{_printable(key)}" if where else _printable(key)
                yield path, key
                waiting.append((path, inner))


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _printable(key: str) -> str:
    return key.encode("unicode_escape", "backslashreplace").decode("ascii") if not key.isprintable() else key
