"""Templates: from a definition as Graph returns it to its slots, from variables to components.

Pure. Variables come as a map of component type to parameters; the parameters of a component
are a list, or a map by name or position; a carousel's are a list of such maps, one a card. Faults
say what was expected and what came; notes are what Meta may mind and we cannot know.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from broadcaster.domain import strict_json
from broadcaster.errors import Faults

Variables = dict[str, Any]

MEDIA = ("IMAGE", "VIDEO", "DOCUMENT")
HEADER_LIMIT, BODY_LIMIT, BODY_ONLY_LIMIT, CARD_BODY_LIMIT, OFFER_BODY_LIMIT = 60, 1024, 32_768, 160, 600
"""Characters after rendering (Meta, template components; the body-only figure is the reference's v24)."""
URL_LIMIT, CODE_LIMIT, COUPON_LIMIT, SAFE_COUPON_LIMIT = 2000, 15, 20, 15
"""Meta's coupon page says 20, its components page 15: above 20 refused, above 15 noted."""
LONGEST_VALUE, LONGEST_DATA = 1000, 4000
"""Ours, where Meta states no limit: a payload, a token, a name of a place; a flow's data as JSON."""

_POSITION = re.compile("[0-9]{1,2}", re.ASCII)
_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")
_FORBIDDEN = re.compile(r"[\n\r\t]| {5,}")
_LINK = re.compile(r"https?://[^\s/<>\"][^\s<>\"]*")
_IN_CARDS = ("HEADER", "BODY", "BUTTONS")
_COMPONENTS = (*_IN_CARDS, "CAROUSEL", "LIMITED_TIME_OFFER")
_BUTTON_KINDS = {
    "QUICK_REPLY": "quick_reply",
    "COPY_CODE": "copy_code",
    "FLOW": "flow",
    "OTP": "otp",
}
_FIRST_MILLISECOND = 1_000_000_000_000
"""September 2001: below it somebody counted in seconds."""
_OFFER_NAME = "expiration_time_ms"
_DEGREE = re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{1,20})?")


@dataclass(frozen=True, slots=True)
class Text:
    """A text with placeholders: `names` in order of appearance, `fixed` characters around them.

    `positions` are the names by number, where the template is positional.
    """

    names: tuple[str, ...] = ()
    fixed: int = 0
    wanted: frozenset[str] = frozenset()
    positions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Button:
    """A button that takes a value; `index` is its position among all buttons, from 0."""

    index: int
    kind: str
    label: str
    needed: bool
    fixed: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where one value goes: a component and the key there, of a card if `card` says so.

    `name` is unique enough for people who write all values of a message in one flat map.
    """

    component: str
    key: str
    kind: str
    required: bool
    name: str
    card: int | None = None


@dataclass(frozen=True)
class Slots:
    """What a template, or one card of it, asks for at every send."""

    named: bool
    header_format: str | None
    header: Text
    body: Text
    body_limit: int
    buttons: tuple[Button, ...]
    offer: bool
    cards: "tuple[Slots, ...]"
    unsupported: tuple[str, ...]

    @cached_property
    def button_at(self) -> dict[int, Button]:
        return {button.index: button for button in self.buttons}

    @cached_property
    def is_one_time_code(self) -> bool:
        return any(button.kind == "otp" for button in self.buttons)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Every value a message can carry, in the order of the message."""
        return (*self._places(), *(place for i, card in enumerate(self.cards) for place in card._places(i)))

    @cached_property
    def flat_names(self) -> frozenset[str]:
        return frozenset(place.name for place in self.places)

    def _places(self, card: int | None = None) -> list[Place]:
        prefix = "" if card is None else f"card.{card}."
        places: list[Place] = []
        if self.header_format in (*MEDIA, "LOCATION"):
            places.append(Place("HEADER", "1", self.header_format, True, f"{prefix}header", card))
        for name in self.header.names:
            flat = name if self.named else "header"
            places.append(Place("HEADER", name, "TEXT", True, prefix + flat, card))
        places += [Place("BODY", name, "TEXT", True, prefix + name, card) for name in self.body.names]
        if self.offer:
            places.append(Place("LIMITED_TIME_OFFER", "1", "TIME", True, _OFFER_NAME))
        for button in self.buttons:
            flat = f"{prefix}button.{button.index}"
            needed = button.needed and button.kind != "otp"
            places.append(Place("BUTTONS", str(button.index), button.kind.upper(), needed, flat, card))
        return places


def slots(components: list[dict[str, Any]], parameter_format: str | None = None) -> Slots:
    """The slots of a definition; components this version cannot fill are named, not dropped."""
    carousel: dict[str, Any] = next((c for c in components if _kind(c) == "CAROUSEL"), {})
    parts = [components, *(card.get("components") or [] for card in carousel.get("cards") or [])]
    named = parameter_format == "NAMED" or any(_has_names(part) for part in parts)
    return _slots(components, named, tuple(_slots(part, named, (), is_card=True) for part in parts[1:]))


def _slots(
    components: list[dict[str, Any]], named: bool, cards: tuple[Slots, ...], is_card: bool = False
) -> Slots:
    by_type = {_kind(component): component for component in components}
    header = by_type.get("HEADER", {})
    header_format = str(header.get("format", "TEXT")).upper() if header else None
    offer = by_type.get("LIMITED_TIME_OFFER")
    buttons = by_type.get("BUTTONS", {}).get("buttons") or []
    limit = CARD_BODY_LIMIT if is_card else OFFER_BODY_LIMIT if offer else BODY_LIMIT
    unsupported = {name for card in cards for name in card.unsupported}
    return Slots(
        named=named,
        header_format=header_format,
        header=_text(header.get("text")) if header_format == "TEXT" else Text(),
        body=_text(by_type.get("BODY", {}).get("text")),
        body_limit=BODY_ONLY_LIMIT if set(by_type) == {"BODY"} and not is_card else limit,
        buttons=tuple(b for b in (_button(i, b) for i, b in enumerate(buttons)) if b),
        offer=bool(offer and (offer.get("limited_time_offer") or {}).get("has_expiration")),
        cards=cards,
        unsupported=tuple(sorted(unsupported | _unsupported(by_type, header_format, buttons, is_card))),
    )


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
    if not any(isinstance(item, dict) and ("parameters" in item or not _is_value(item)) for item in given):
        return {"BODY": given} if given else {}
    return parse_components(given, where, faults)


def parse_components(
    given: list[Any], where: str, faults: Faults, allowed: tuple[str, ...] = _COMPONENTS
) -> Variables:
    """A list of components with `type` and `parameters` (a carousel: `cards`), by type."""
    found: Variables = {}
    for i, item in enumerate(given):
        kind = item.get("type") if isinstance(item, dict) else None
        if not isinstance(kind, str) or kind.upper() not in allowed:
            faults.add(f"{where}[{i}].type", f"must be one of {', '.join(allowed)}")
            continue
        kind = kind.upper()
        field = "cards" if kind == "CAROUSEL" else "parameters"
        for name in sorted(set(item) - {"type", field}):
            faults.add(f"{where}[{i}].{name}", f"is not a field of {kind}")
        if kind in found:
            faults.add(f"{where}[{i}].type", f"{kind} appears twice")
        value = item.get(field, [])
        if kind == "CAROUSEL":
            found[kind] = _parse_cards(value, f"{where}[{i}].cards", faults)
        elif isinstance(value, dict | list):
            found[kind] = value
        else:
            faults.add(f"{where}[{i}].parameters", "must be a list or an object")
    return found


def _parse_cards(given: Any, where: str, faults: Faults) -> list[Variables]:
    if not isinstance(given, list):
        faults.add(where, "must be a list of cards")
        return []
    cards = []
    for i, card in enumerate(given):
        components = card.get("components", []) if isinstance(card, dict) else None
        if not isinstance(components, list) or set(card) - {"components"}:
            faults.add(f"{where}[{i}]", "must be an object with a list of components")
            components = []
        cards.append(parse_components(components, f"{where}[{i}].components", faults, _IN_CARDS))
    return cards


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


def fill(
    template: Slots, variables: Variables, where: str, faults: Faults, notes: Faults | None = None
) -> list[dict[str, Any]]:
    """The Graph components of one message (Meta, template messages).

    Faults are added, not raised; notes are limits on which Meta's own pages disagree.
    """
    return _Filling(where, faults, notes).components(template, variables)


class _Filling:
    """The values of one message, or of one card, on their way into its slots."""

    __slots__ = ("faults", "label", "notes", "where")

    def __init__(self, where: str, faults: Faults, notes: Faults | None, label: str = ""):
        self.where = where
        self.faults = faults
        self.notes = notes
        self.label = label

    def fault(self, message: str) -> None:
        self.faults.add(self.where, self.label + message)

    def note(self, message: str) -> None:
        if self.notes is not None:
            self.notes.add(self.where, self.label + message)

    def components(self, template: Slots, variables: Variables) -> list[dict[str, Any]]:
        components: list[dict[str, Any]] = []
        if template.header_format or "HEADER" in variables:
            header = self.header(template, variables.get("HEADER", []))
            if header:
                components.append({"type": "header", "parameters": header})
        named, limit = template.named, template.body_limit
        body = self.text("BODY", template.body, named, variables.get("BODY", []), limit)
        if body:
            components.append({"type": "body", "parameters": body})
        if template.is_one_time_code and body:
            self.check_code(body[0].get("text", ""))
        if template.offer or "LIMITED_TIME_OFFER" in variables:
            components += self.offer(template.offer, variables.get("LIMITED_TIME_OFFER"))
        if template.cards or "CAROUSEL" in variables:
            components += self.carousel(template.cards, variables.get("CAROUSEL"))
        if template.buttons or "BUTTONS" in variables:
            components += self.buttons(template, variables.get("BUTTONS", []), body)
        return components

    def header(self, template: Slots, given: Any) -> list[dict[str, Any]]:
        if template.header_format in MEDIA:
            return self.media(template.header_format, _only_value(given))
        if template.header_format == "LOCATION":
            return self.location(_only_value(given))
        return self.text("HEADER", template.header, template.named, given, HEADER_LIMIT)

    def text(self, component: str, text: Text, named: bool, given: Any, limit: int) -> list[dict[str, Any]]:
        """The parameters of a text, in the order Graph wants them, at most `limit` characters in all."""
        values = given
        if isinstance(given, list):
            values = self.by_name(component, text, named, given)
            if values is None:
                return []
        if values.keys() != text.wanted:
            self.fault(f"{component} needs {_listed(text.names)}; got {_listed(values)}")
            return []
        filled, length = [], text.fixed
        for name in text.names if named else text.positions:
            parameter = self.parameter(values[name], component, name)
            if parameter is not None:
                length += len(_shown(parameter))
                if named:
                    parameter["parameter_name"] = name
                filled.append(parameter)
        if length > limit:
            self.fault(f"{component} would have {length} characters; Meta allows {limit}")
        return filled

    def by_name(self, component: str, text: Text, named: bool, given: list[Any]) -> dict[str, Any] | None:
        """A list of values by their names, or None and a fault."""
        if named and len(text.names) == len(given) == 1:
            # One value for one name needs no name: a header has at most one variable.
            return {text.names[0]: given[0]}
        if named and given:
            self.fault(f"{component} needs its variables by name: {_listed(text.names)}")
        elif named and text.names:
            self.fault(f"{component} needs {_listed(text.names)}; got none")
        elif len(given) != len(text.names):
            self.fault(f"{component} needs {_count(len(text.names), 'variable')}; got {len(given)}")
        else:
            # Positional templates number their placeholders from 1, in whatever order the text has them.
            return {str(i): value for i, value in enumerate(given, 1)}
        return None

    def parameter(self, value: Any, component: str, name: str) -> dict[str, Any] | None:
        """A text, or Meta's object for an amount or a date, of which Cloud API shows the fallback."""
        if isinstance(value, dict):
            return self.localized(value, f"{component} {name}")
        return {"type": "text", "text": value} if self.usable(value, component, name) else None

    def localized(self, value: dict[str, Any], what: str) -> dict[str, Any] | None:
        kind = "currency" if "currency" in value else "date_time"
        inner = value.get(kind)
        if not _is_value(value) or not isinstance(inner, dict) or value.get("type", kind) != kind:
            self.fault(f"{what} must be a text, or an object with currency or date_time")
            return None
        if not self.usable(inner.get("fallback_value"), what, "fallback_value"):
            return None
        if kind == "date_time":
            return {"type": kind, kind: {"fallback_value": inner["fallback_value"]}}
        code, amount = inner.get("code"), inner.get("amount_1000")
        if not (isinstance(code, str) and re.fullmatch("[A-Z]{3}", code)):
            self.fault(f"{what} needs the currency's code, like EUR")
        elif isinstance(amount, bool) or not isinstance(amount, int):
            self.fault(f"{what} needs amount_1000, the amount in thousandths as a whole number")
        else:
            shown = {"fallback_value": inner["fallback_value"], "code": code, "amount_1000": amount}
            return {"type": kind, kind: shown}
        return None

    def usable(self, value: Any, component: str, name: str) -> bool:
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

    def check_code(self, code: str) -> None:
        if len(code) > CODE_LIMIT:
            self.fault(f"BODY: a one-time code has at most {CODE_LIMIT} characters, not {len(code)}")
        elif "://" in code or any(unicodedata.category(c) == "So" for c in code):
            self.fault("BODY: a one-time code must not contain an address or emoji")

    def media(self, kind: str, value: Any) -> list[dict[str, Any]]:
        low = kind.lower()
        if isinstance(value, str):
            value = {"id": value} if value.isdigit() else {"link": value}
        if not isinstance(value, dict) or len({"id", "link"} & value.keys()) != 1:
            self.fault(f"HEADER needs one {low}: the address of the file or a media id")
            return []
        allowed = {"id", "link", "filename"} if kind == "DOCUMENT" else {"id", "link"}
        if set(value) - allowed or not all(isinstance(v, str) and v for v in value.values()):
            self.fault(f"HEADER {low} takes {_listed(sorted(allowed))}, each a text")
            return []
        if any(len(v) > URL_LIMIT for v in value.values()):
            self.fault(f"HEADER {low} has more than {URL_LIMIT} characters")
            return []
        if "link" in value and not _LINK.fullmatch(value["link"]):
            self.fault(f"HEADER {low} must be an http or https address or a media id")
            return []
        return [{"type": low, low: value}]

    def location(self, value: Any) -> list[dict[str, Any]]:
        needed = ("latitude", "longitude", "name", "address")
        if not isinstance(value, dict) or set(value) != set(needed):
            self.fault(f"HEADER needs a location with {_listed(needed)}")
            return []
        for name, most in (("latitude", 90), ("longitude", 180)):
            if not _is_degree(value[name], most):
                self.fault(f"HEADER {name} must be a number from -{most} to {most}")
        for name in ("name", "address"):
            if self.usable(value[name], "HEADER", name):
                self.check_long(f"HEADER {name}", value[name])
        return [{"type": "location", "location": {key: str(value[key]) for key in needed}}]

    def offer(self, wanted: bool, given: Any) -> list[dict[str, Any]]:
        """The end of a limited-time offer, in epoch milliseconds."""
        if not wanted:
            if given:
                self.fault("the template has no LIMITED_TIME_OFFER that ends")
            return []
        value = _only_value(given or [])
        if isinstance(value, dict) and set(value) == {_OFFER_NAME}:
            value = value[_OFFER_NAME]
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault("LIMITED_TIME_OFFER needs its end as epoch milliseconds")
            return []
        if value < _FIRST_MILLISECOND:
            self.fault(f"LIMITED_TIME_OFFER needs its end in milliseconds; {value} looks like seconds")
            return []
        parameter = {"type": "limited_time_offer", "limited_time_offer": {_OFFER_NAME: value}}
        return [{"type": "limited_time_offer", "parameters": [parameter]}]

    def carousel(self, cards: tuple[Slots, ...], given: list[Variables] | None) -> list[dict[str, Any]]:
        given = given or []
        if len(given) != len(cards):
            self.fault(f"CAROUSEL needs {_count(len(cards), 'card')}; got {len(given) or 'none'}")
            return []
        filled = []
        for i, (card, variables) in enumerate(zip(cards, given, strict=True)):
            inside = _Filling(self.where, self.faults, self.notes, f"CAROUSEL card {i}: ")
            filled.append({"card_index": i, "components": inside.components(card, variables)})
        return [{"type": "carousel", "cards": filled}] if filled else []

    def buttons(self, template: Slots, given: Any, body: list[dict[str, Any]]) -> list[dict[str, Any]]:
        values = self.by_position(given)
        strange = min(values.keys() - template.button_at.keys(), default=None)
        if strange is not None:
            self.fault(f"BUTTONS has no button at position {strange} that takes a value")
        filled = []
        for button in template.buttons:
            value = values.get(button.index)
            if button.kind == "otp":
                # An authentication template carries its code twice: in the text and in the button.
                value = _shown(body[0]) if body else value
            if value is None:
                if button.needed:
                    self.fault(f'BUTTONS needs a value for "{button.label}" at position {button.index}')
                continue
            parameter = self.button_parameter(button, value)
            if parameter is not None:
                sub_type = "url" if button.kind == "otp" else button.kind
                filled.append(
                    {
                        "type": "button",
                        "sub_type": sub_type,
                        "index": str(button.index),
                        "parameters": [parameter],
                    }
                )
        return filled

    def button_parameter(self, button: Button, value: Any) -> dict[str, Any] | None:
        if button.kind == "flow" and isinstance(value, dict):
            return self.flow_action(button, value)
        if not self.usable(value, "BUTTONS", str(button.index)):
            return None
        if button.kind in ("quick_reply", "flow"):
            self.check_long(f"BUTTONS {button.index}", value)
        if button.kind == "quick_reply":
            return {"type": "payload", "payload": value}
        if button.kind == "flow":
            return {"type": "action", "action": {"flow_token": value}}
        if button.kind == "copy_code":
            self.check_coupon(button.index, value)
            return {"type": "coupon_code", "coupon_code": value}
        if button.fixed + len(value) > URL_LIMIT:
            self.fault(f"BUTTONS {button.index}: the address would exceed {URL_LIMIT} characters")
        return {"type": "text", "text": value}

    def flow_action(self, button: Button, value: dict[str, Any]) -> dict[str, Any] | None:
        token, data = value.get("flow_token", "-"), value.get("flow_action_data", {})
        if not value or set(value) - {"flow_token", "flow_action_data"} or not isinstance(data, dict):
            self.fault(f"BUTTONS {button.index} takes flow_token, a text, and flow_action_data, an object")
            return None
        if not self.usable(token, f"BUTTONS {button.index}", "flow_token"):
            return None
        self.check_long(f"BUTTONS {button.index}", token)
        if len(strict_json.dumps(data)) > LONGEST_DATA:
            self.fault(f"BUTTONS {button.index} flow_action_data has more than {LONGEST_DATA} characters")
        return {"type": "action", "action": value}

    def check_long(self, what: str, value: str) -> None:
        if len(value) > LONGEST_VALUE:
            self.fault(f"{what} has more than {LONGEST_VALUE} characters")

    def check_coupon(self, index: int, code: str) -> None:
        if len(code) > COUPON_LIMIT:
            self.fault(f"BUTTONS {index}: a code has at most {COUPON_LIMIT} characters")
        elif len(code) > SAFE_COUPON_LIMIT:
            self.note(f"BUTTONS {index}: Meta may refuse a code of more than {SAFE_COUPON_LIMIT} characters")
        if not code.isalnum():
            self.note(f"BUTTONS {index}: Meta asks for a code of letters and digits alone")

    def by_position(self, given: Any) -> dict[int, Any]:
        if isinstance(given, list):
            return {i: value for i, value in enumerate(given) if value is not None}
        values = {int(key): value for key, value in given.items() if _POSITION.fullmatch(key)}
        strange = next((key for key in given if not _POSITION.fullmatch(key)), None)
        if strange is not None:
            self.fault(f'BUTTONS takes positions from 0, not "{strange[:40]}"')
        return values


def preview(definition: list[dict[str, Any]], sent: list[dict[str, Any]]) -> dict[str, Any]:
    """What a person will see of one message: texts with their values, media by address or id."""
    parts = {_kind(component): component for component in sent if _kind(component) != "BUTTON"}
    buttons = {int(c["index"]): c for c in sent if _kind(c) == "BUTTON"}
    seen: dict[str, Any] = {"header": None, "body": "", "footer": None, "buttons": [], "cards": []}
    for component in definition:
        kind = _kind(component)
        parameters = parts.get(kind, {}).get("parameters", [])
        if kind == "HEADER":
            seen["header"] = _seen_header(component, parameters)
        elif kind in ("BODY", "FOOTER"):
            seen[kind.lower()] = _rendered(component.get("text"), parameters)
        elif kind == "BUTTONS":
            rows = enumerate(component.get("buttons") or [])
            seen["buttons"] = [_seen_button(button, buttons.get(i)) for i, button in rows]
        elif kind == "CAROUSEL":
            pairs = zip(component.get("cards") or [], parts.get(kind, {}).get("cards", []), strict=False)
            seen["cards"] = [
                preview(card.get("components") or [], given["components"]) for card, given in pairs
            ]
        elif kind == "LIMITED_TIME_OFFER":
            offer = (component.get("limited_time_offer") or {}).get("text")
            ends = parameters[0]["limited_time_offer"][_OFFER_NAME] if parameters else None
            seen["offer"] = {"text": offer, "endsAt": ends}
    return seen


def _seen_header(component: dict[str, Any], parameters: list[dict[str, Any]]) -> dict[str, Any]:
    form = str(component.get("format", "TEXT")).upper()
    if form == "TEXT":
        return {"format": form, "text": _rendered(component.get("text"), parameters)}
    value = parameters[0].get(form.lower(), {}) if parameters else {}
    shown = value.get("link") or value.get("id") or value.get("name")
    return {"format": form, "text": str(shown) if shown else None}


def _seen_button(button: dict[str, Any], sent: dict[str, Any] | None) -> dict[str, Any]:
    parameter = sent["parameters"][0] if sent else {}
    value = parameter.get("text") or parameter.get("payload") or parameter.get("coupon_code")
    if "url" in button and parameter.get("type") == "text":
        value = _PLACEHOLDER.sub(lambda _: parameter["text"], str(button["url"]))
    elif value is None:
        value = button.get("url") or button.get("phone_number")
    return {"type": _kind(button), "text": button.get("text"), "value": value}


def _rendered(text: str | None, parameters: list[dict[str, Any]]) -> str:
    values = {p.get("parameter_name", str(i)): _shown(p) for i, p in enumerate(parameters, 1)}
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text or "")


def _shown(parameter: dict[str, Any]) -> str:
    """What Cloud API renders of a parameter: its text, or the fallback of an amount or a date."""
    text = parameter.get("text")
    if text is None:
        text = parameter.get(parameter["type"], {}).get("fallback_value", "")
    return str(text)


def _is_degree(value: Any, most: int) -> bool:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return False
    text = f"{value:.20f}" if isinstance(value, float) else str(value) if _is_short(value) else ""
    return _DEGREE.fullmatch(text) is not None and abs(float(text)) <= most


def _is_short(value: int | str) -> bool:
    return len(value) < 30 if isinstance(value, str) else abs(value) < 1000


def _is_value(item: dict[str, Any]) -> bool:
    """Whether an object stands for one value of a text: an amount or a date."""
    return len(item.keys() - {"type"}) == 1 and bool({"currency", "date_time"} & item.keys())


def _only_value(given: Any) -> Any:
    if isinstance(given, list):
        return given[0] if len(given) == 1 else None
    return given.get("1", given) if len(given) == 1 else given or None


def _kind(component: dict[str, Any]) -> str:
    return str(component.get("type", "")).upper()


def _text(text: str | None) -> Text:
    text = text or ""
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))
    positions = tuple(sorted((name for name in names if name.isdigit()), key=int))
    return Text(names, len(_PLACEHOLDER.sub("", text)), frozenset(names), positions)


def _has_names(components: list[dict[str, Any]]) -> bool:
    texts = [c.get("text") or "" for c in components if _kind(c) in ("HEADER", "BODY")]
    return any(not name.isdigit() for text in texts for name in _PLACEHOLDER.findall(text))


def _button(index: int, button: dict[str, Any]) -> Button | None:
    kind = _kind(button)
    label = str(button.get("text") or kind)
    if kind == "URL":
        url = str(button.get("url") or "")
        if not _PLACEHOLDER.search(url):
            return None
        otp = "otp" in url and "whatsapp.com" in url
        return Button(index, "otp" if otp else "url", label, True, len(_PLACEHOLDER.sub("", url)))
    if kind in _BUTTON_KINDS:
        return Button(index, _BUTTON_KINDS[kind], label, kind in ("COPY_CODE", "OTP"))
    return None


def _unsupported(
    by_type: dict[str, Any], header_format: str | None, buttons: list[dict[str, Any]], is_card: bool
) -> set[str]:
    known = {"HEADER", "BODY", "FOOTER", "BUTTONS"}
    found = set(by_type) - (known if is_card else known | {"CAROUSEL", "LIMITED_TIME_OFFER"})
    if header_format not in (None, "TEXT", "LOCATION", *MEDIA):
        found.add(f"HEADER {header_format}")
    kinds = {_kind(button) for button in buttons}
    return found | {f"button {k}" for k in kinds - {"URL", "PHONE_NUMBER", "VOICE_CALL", *_BUTTON_KINDS}}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def _listed(names: Any) -> str:
    shown = ", ".join(str(name)[:40] for name in islice(names, 20)) or "none"
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")
