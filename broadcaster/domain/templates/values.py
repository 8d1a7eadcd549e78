"""Values as callers write them: read by component, laid over each other, found by flat names.

The values of a component are a list, or a map by name or position; a carousel's are a list of
such sets, one a card.
"""

from typing import Any

from broadcaster.domain.templates.shapes import Variables
from broadcaster.domain.templates.slots import Slots
from broadcaster.domain.templates.table import PARTS
from broadcaster.domain.templates.texts import is_localized
from broadcaster.errors import Faults

_OF_CARDS = {part.kind: part for part in PARTS if part.takes_values and part.is_for_cards}
_WITH_VALUES = _OF_CARDS | {part.kind: part for part in PARTS if part.takes_values}


def parse_variables(given: Any, where: str, faults: Faults) -> Variables:
    """Variables as callers write them, by component type.

    A map or a list of texts is the body's; a list of objects with `type` is a component list,
    each type at most once.
    """
    if given is None:
        return {}
    if isinstance(given, dict):
        return {"BODY": given}
    if not isinstance(given, list):
        faults.add(where, "must be a map of variables, a list of texts or a list of components")
        return {}
    if all("parameters" not in item and is_localized(item) for item in given if isinstance(item, dict)):
        return {"BODY": given} if given else {}
    return parse_components(given, where, faults)


def parse_components(given: list[Any], where: str, faults: Faults, is_card: bool = False) -> Variables:
    """A list of components with `type` and `parameters` (a carousel: `cards`), by type."""
    allowed = _OF_CARDS if is_card else _WITH_VALUES
    found: Variables = {}
    for i, item in enumerate(given):
        kind = item.get("type") if isinstance(item, dict) else None
        part = allowed.get(kind.upper()) if isinstance(kind, str) else None
        if part is None:
            faults.add(f"{where}[{i}].type", f"must be one of {', '.join(allowed)}")
            continue
        for name in sorted(set(item) - {"type", part.field}):
            faults.add(f"{where}[{i}].{name}", f"is not a field of {part.kind}")
        if part.kind in found:
            faults.add(f"{where}[{i}].type", f"{part.kind} appears twice")
        values = part.parse(item.get(part.field, []), f"{where}[{i}]", faults, _parse_card)
        if values is not None:
            found[part.kind] = values
    return found


def _parse_card(given: list[Any], where: str, faults: Faults) -> Variables:
    return parse_components(given, where, faults, is_card=True)


def merge(under: Any, over: Any) -> Any:
    """`over` laid over `under`: maps meet key by key at every depth, anything else replaces.

    On variables by type this means: components meet by type, named parameters by name, while
    lists of parameters and cards replace.
    """
    if not under or not isinstance(under, dict) or not isinstance(over, dict):
        return over
    merged = dict(under)
    for key, value in over.items():
        merged[key] = merge(merged[key], value) if key in merged else value
    return merged


def spread(template: Slots, flat: dict[str, Any]) -> Variables:
    """Values by flat name (Place.name), laid out by component.

    A name the template does not know goes to the body, where fill() will say what was expected.
    """
    variables: Variables = {}
    cards: list[Variables] = [{} for _ in template.cards]
    for place in template.places:
        if place.name in flat:
            part = variables if place.card is None else cards[place.card]
            part.setdefault(place.component, {})[place.key] = flat[place.name]
    for name in flat:
        if name not in template.flat_names:
            variables.setdefault("BODY", {})[name] = flat[name]
    if cards:
        variables["CAROUSEL"] = cards
    return variables
