"""JSON: strict on the way in, one form on the way out."""

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import orjson

from broadcaster.errors import SHOWN_FAULTS, Faults, Invalid, Malformed

MAX_DEPTH = 40
MOST_VALUES = 500_000
"""Of one document, names of fields not counted: 5,000 recipients with a hundred each."""
MOST_FIELDS = 10_000
"""Of one object; far above what anybody takes, and few enough to name each as a fault."""
_LONGEST_STEP = 200
_NESTING = {dict, list}
_WINDOW = 65_536
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")


def loads(body: bytes, faults: Faults | None = None) -> Any:
    """The JSON document in `body`.

    Raises Malformed for what is no JSON in UTF-8 (NaN and deep nesting included), and for more
    values or fields than anybody needs. Duplicate keys, NUL characters and lone surrogates, which
    Python's parser takes and the next program in the chain does not, are faults of their fields:
    raised as Invalid, or added to `faults` and replaced, so that the rest can still be checked.
    """
    found = Faults() if faults is None else faults
    has_duplicates = False

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal has_duplicates
        if len(pairs) > MOST_FIELDS:
            raise Malformed(f"an object has {len(pairs)} fields; at most {MOST_FIELDS} are read")
        document = dict(pairs)
        has_duplicates = has_duplicates or len(document) != len(pairs)
        return document

    _check_size(body)
    document = _parsed(body, unique)
    if has_duplicates:
        _name_duplicates(_parsed(body, _Pairs), found)
    # Escapes are the only way in for these characters besides a raw NUL, which JSON refuses.
    if _SUSPECT.search(body):
        if depth(document) > MAX_DEPTH:
            raise Malformed("the document is nested too deeply")
        document = _scrubbed(document, None, found)
    if faults is None and found:
        raise Invalid(found)
    return document


def loads_lenient(body: bytes) -> Any:
    """The same for what somebody else wrote and keeps to no rules of ours: faults of fields are mended in
    silence, and what is read in half the time otherwise is."""
    if not _SUSPECT.search(body):
        _check_size(body)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            # Python's parser takes more, and says what is wrong.
            pass
    return loads(body, Faults())


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


def _check_size(body: bytes) -> None:
    """Raise Malformed for a document of too many values, before any of them is made."""
    if _marks(body) > MOST_VALUES and _marks_outside_texts(body) > MOST_VALUES:
        raise Malformed(f"the document has more than {MOST_VALUES} values")


def _marks(body: bytes) -> int:
    """How many commas and brackets there are: at least one for each value but the first."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _marks_outside_texts(body: bytes) -> int:
    """The same without those in texts. In windows: a million pieces at once are a hundred MB."""
    bare, count, in_text = body.replace(rb"\\", b"").replace(rb"\"", b""), 0, 0
    for at in range(0, len(bare), _WINDOW):
        pieces = bare[at : at + _WINDOW].split(b'"')
        count += _marks(b"".join(pieces[in_text::2]))
        in_text ^= (len(pieces) - 1) & 1
    return count


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not allowed")


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written, duplicate keys and all."""


class _Place(NamedTuple):
    """Where a value stands; in words only for a fault that is told, for there may be a million places."""

    above: "_Place | None"
    step: str | int

    def __str__(self) -> str:
        where = "" if self.above is None else str(self.above)
        return f"{where}[{self.step}]" if isinstance(self.step, int) else under(where, self.step)


def _name_duplicates(document: Any, faults: Faults) -> None:
    """Note each key that stands twice in one object, until as many are noted as are shown."""
    waiting: list[tuple[_Place | None, Any]] = [(None, document)]
    while waiting and len(faults.shown) < SHOWN_FAULTS:
        place, value = waiting.pop()
        steps: Iterable[tuple[str | int, Any]] = ()
        if isinstance(value, _Pairs):
            _note_duplicates(value, place, faults)
            steps = value
        elif isinstance(value, list):
            steps = enumerate(value)
        waiting.extend((_Place(place, step), inner) for step, inner in steps if isinstance(inner, list))


def _note_duplicates(pairs: _Pairs, place: _Place | None, faults: Faults) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            faults.add(str(_Place(place, key)), "the key appears twice in one object")
        if len(faults.shown) == SHOWN_FAULTS:
            return
        seen.add(key)


def _scrubbed(value: Any, place: _Place | None, faults: Faults) -> Any:
    """The document without the characters that no text may have; each place is a fault."""
    if isinstance(value, list):
        return [_scrubbed(inner, _Place(place, i), faults) for i, inner in enumerate(value)]
    if isinstance(value, dict):
        found = {}
        for key, inner in value.items():
            at = _Place(place, key)
            found[_scrubbed(key, at, faults)] = _scrubbed(inner, at, faults)
        return found
    if not isinstance(value, str):
        return value
    if "\x00" in value:
        told = "must not contain NUL characters"
    elif not _encodable(value):
        told = "contains half of a surrogate pair"
    else:
        return value
    faults.add(str(place or "body") if len(faults.shown) < SHOWN_FAULTS else "", told)
    return value.replace("\x00", "?").encode("utf-8", "replace").decode("utf-8")


def under(where: str, key: str) -> str:
    """The path of a field inside an object, printable and of bounded length whatever the key."""
    key = key[:_LONGEST_STEP]
    name = key.encode("ascii", "backslashreplace").decode("ascii") if not key.isprintable() else key
    return f"{where}.{name}" if where else name


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
