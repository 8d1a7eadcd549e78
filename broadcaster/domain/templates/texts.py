"""Texts: placeholders in the text of a header or a body, and the values that replace them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from broadcaster.domain.templates.filling import Filling, counted, listed
from broadcaster.domain.templates.shapes import Parameter

PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")
_CURRENCY = re.compile("[A-Z]{3}")


@dataclass(frozen=True, slots=True)
class Text:
    """A text with placeholders: `names` in order of appearance, `fixed` characters around them.

    `order` is that of the parameters Graph wants: by number where the placeholders have no names.
    `numbers` are the keys of a list of as many values.
    """

    names: tuple[str, ...] = ()
    fixed: int = 0
    wanted: frozenset[str] = frozenset()
    order: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    named: bool = False


def read_text(text: str | None, named: bool) -> Text:
    text = text or ""
    names = tuple(dict.fromkeys(PLACEHOLDER.findall(text)))
    positions = tuple(sorted((name for name in names if name.isdigit()), key=int))
    numbers = tuple(str(i) for i in range(1, len(names) + 1))
    fixed = len(PLACEHOLDER.sub("", text))
    return Text(names, fixed, frozenset(names), names if named else positions, numbers, named)


def has_names(text: str | None) -> bool:
    """Whether a placeholder of a text has a name and not a number."""
    return any(not name.isdigit() for name in PLACEHOLDER.findall(text or ""))


def fill_text(component: str, text: Text, given: Any, limit: int, filling: Filling) -> list[Parameter]:
    """The parameters of a text, in the order Graph wants them, at most `limit` characters in all."""
    values = _by_name(component, text, given, filling) if isinstance(given, list) else given
    if values is None:
        return []
    if values.keys() != text.wanted:
        filling.fault(f"{component} needs {listed(text.names)}; got {listed(values)}")
        return []
    filled, length = [], text.fixed
    for name in text.order:
        value = values[name]
        # Nearly every value is a text without a fault: thousands with several each are filled in a row.
        if isinstance(value, str) and value.isprintable() and "     " not in value and value.strip():
            parameter: Parameter | None = {"type": "text", "text": value}
            length += len(value)
        else:
            parameter = _parameter(value, component, name, filling)
            length += 0 if parameter is None else len(shown(parameter))
        if parameter is not None:
            if text.named:
                parameter["parameter_name"] = name
            filled.append(parameter)
    if length > limit:
        filling.fault(f"{component} would have {length} characters; Meta allows {limit}")
    return filled


def _by_name(component: str, text: Text, given: list[Any], filling: Filling) -> dict[str, Any] | None:
    """A list of values by their names, or None and a fault."""
    if text.named and len(text.names) == len(given) == 1:
        # One value for one name needs no name: a header has at most one variable.
        return {text.names[0]: given[0]}
    if text.named and given:
        filling.fault(f"{component} needs its variables by name: {listed(text.names)}")
    elif text.named and text.names:
        filling.fault(f"{component} needs {listed(text.names)}; got none")
    elif len(given) != len(text.names):
        filling.fault(f"{component} needs {counted(len(text.names), 'variable')}; got {len(given)}")
    else:
        # Positional templates number their placeholders from 1, in whatever order the text has them.
        return dict(zip(text.numbers, given, strict=True))
    return None


def _parameter(value: Any, component: str, name: str, filling: Filling) -> Parameter | None:
    """A text, or Meta's object for an amount or a date, of which Cloud API shows the fallback."""
    if isinstance(value, dict):
        return _localized(value, f"{component} {name}", filling)
    return {"type": "text", "text": value} if filling.is_usable(value, component, name) else None


def _localized(value: dict[str, Any], what: str, filling: Filling) -> Parameter | None:
    kind = "currency" if "currency" in value else "date_time"
    inner = value.get(kind)
    if not is_localized(value) or not isinstance(inner, dict) or value.get("type", kind) != kind:
        filling.fault(f"{what} must be a text, or an object with currency or date_time")
        return None
    if not filling.is_usable(inner.get("fallback_value"), what, "fallback_value"):
        return None
    if kind == "date_time":
        return {"type": kind, kind: {"fallback_value": inner["fallback_value"]}}
    return _amount(inner, what, filling)


def _amount(inner: dict[str, Any], what: str, filling: Filling) -> Parameter | None:
    code, amount = inner.get("code"), inner.get("amount_1000")
    if not (isinstance(code, str) and _CURRENCY.fullmatch(code)):
        filling.fault(f"{what} needs the currency's code, like EUR")
    elif isinstance(amount, bool) or not isinstance(amount, int):
        filling.fault(f"{what} needs amount_1000, the amount in thousandths as a whole number")
    else:
        currency = {"fallback_value": inner["fallback_value"], "code": code, "amount_1000": amount}
        return {"type": "currency", "currency": currency}
    return None


def is_localized(item: dict[str, Any]) -> bool:
    """Whether an object stands for one value of a text: an amount or a date."""
    return len(item.keys() - {"type"}) == 1 and bool({"currency", "date_time"} & item.keys())


def shown(parameter: Parameter) -> str:
    """What Cloud API renders of a parameter: its text, or the fallback of an amount or a date."""
    text = parameter.get("text")
    if text is None:
        text = parameter.get(parameter["type"], {}).get("fallback_value", "")
    return str(text)


def rendered(text: str | None, parameters: Sequence[Parameter]) -> str:
    """A text with its values in place of its placeholders."""
    values = {p.get("parameter_name", str(i)): shown(p) for i, p in enumerate(parameters, 1)}
    return PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text or "")
