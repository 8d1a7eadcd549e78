"""JSON: strict on the way in, one form on the way out."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

import orjson

from broadcaster.errors import Faults, Invalid, Malformed

MAX_DEPTH = 40
_NESTING = {dict, list}
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def loads(body: bytes, faults: Faults | None = None) -> Any:
    """The JSON document in `body`.

    Raises Malformed for what is no JSON in UTF-8 (NaN and deep nesting included). Duplicate keys,
    NUL characters and lone surrogates, which Python's parser takes and the next program in the
    chain does not, are faults of their fields: raised as Invalid, or added to `faults` and
    replaced, so that the rest can still be checked.
    """
    found = Faults() if faults is None else faults
    duplicates = False

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal duplicates
        document = dict(pairs)
        duplicates = duplicates or len(document) != len(pairs)
        return document

    document = _parsed(body, unique)
    if duplicates:
        _name_duplicates(body, found)
    # Escapes are the only way in for these characters besides a raw NUL, which JSON refuses.
    if _SUSPECT.search(body):
        if depth(document) > MAX_DEPTH:
            raise Malformed("the document is nested too deeply")
        document = _scrubbed(document, "", found)
    if faults is None and found:
        raise Invalid(found)
    return document


def _parsed(body: bytes, hook: Callable[[list[tuple[str, Any]]], Any]) -> Any:
    try:
        return json.loads(
            body.decode("utf-8"), object_pairs_hook=hook, parse_constant=_refuse, parse_float=_finite
        )
    except UnicodeDecodeError:
        raise Malformed("the document is not UTF-8") from None
    except RecursionError:
        raise Malformed("the document is nested too deeply") from None
    except ValueError as error:
        raise Malformed(f"the document is not JSON: {error}") from None


def dumps(value: Any) -> str:
    """Compact JSON text, as stored and as sent."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        # A whole number of more than 64 bits, in somebody's metadata.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def storable(text: str) -> str:
    """A text of Meta's without half surrogates and NUL, which a database refuses."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "?")


def depth(value: Any) -> int:
    """How deeply lists and objects are nested in `value`; counting stops past MAX_DEPTH.

    The value is of JSON's own types, no subclasses of them.
    """
    if isinstance(value, list) and _NESTING.isdisjoint(map(type, value)):
        # Nearly every value that is asked about: thousands of recipients have a list of texts each.
        return 1
    deepest, level = 0, [value] if isinstance(value, dict | list) else []
    while level and deepest <= MAX_DEPTH:
        deepest += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return deepest


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not allowed")


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written, duplicate keys and all."""


def _name_duplicates(body: bytes, faults: Faults) -> None:
    waiting: list[tuple[str, Any]] = [("", _parsed(body, _Pairs))]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, _Pairs):
            seen: set[str] = set()
            for key, inner in value:
                if key in seen:
                    faults.add(under(where, key), "the key appears twice in one object")
                seen.add(key)
                waiting.append((under(where, key), inner))
        elif isinstance(value, list):
            waiting.extend((f"{where}[{i}]", inner) for i, inner in enumerate(value))


def _scrubbed(value: Any, where: str, faults: Faults) -> Any:
    """The document without the characters that no text may have; each place is a fault."""
    if isinstance(value, list):
        return [_scrubbed(inner, f"{where}[{i}]", faults) for i, inner in enumerate(value)]
    if isinstance(value, dict):
        return {
            _scrubbed(key, under(where, key), faults): _scrubbed(inner, under(where, key), faults)
            for key, inner in value.items()
        }
    if not isinstance(value, str):
        return value
    if "\x00" in value:
        faults.add(where or "body", "must not contain NUL characters")
    elif not _encodable(value):
        faults.add(where or "body", "contains half of a surrogate pair")
    else:
        return value
    return value.replace("\x00", "?").encode("utf-8", "replace").decode("utf-8")


def under(where: str, key: str) -> str:
    """The path of a field inside an object, printable whatever the key."""
    name = key.encode("ascii", "backslashreplace").decode("ascii") if not key.isprintable() else key
    return f"{where}.{name}" if where else name


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
