"""Templates: from a definition as Graph returns it to its slots, from variables to components.

Pure. Variables come as a map of component type to parameters; the parameters of a component
are a list, or a map by name or position. Faults say what was expected and what came.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from broadcaster.errors import Faults

Parameters = list[Any] | dict[str, Any]
Variables = dict[str, Parameters]

MEDIA = ("IMAGE", "VIDEO", "DOCUMENT")
HEADER_LIMIT, BODY_LIMIT, BODY_ONLY_LIMIT, URL_LIMIT, COUPON_LIMIT = 60, 1024, 32_768, 2000, 20
"""Characters after rendering (Meta, template components; the body-only figure is the reference's v24)."""

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z0-9_]+)\s*\}\}")
_FORBIDDEN = re.compile(r"[\n\r\t]| {5,}")
_LINK = re.compile(r"https?://[^\s/<>\"]+[^\s<>\"]*")
_COMPONENTS = ("HEADER", "BODY", "BUTTONS")
_BUTTON_KINDS = {
    "QUICK_REPLY": "quick_reply",
    "COPY_CODE": "copy_code",
    "FLOW": "flow",
    "OTP": "otp",
}


@dataclass(frozen=True, slots=True)
class Text:
    """A text with placeholders: `names` in order of appearance, `fixed` characters around them."""

    names: tuple[str, ...]
    fixed: int


@dataclass(frozen=True, slots=True)
class Button:
    """A button that takes a value; `index` is its position among all buttons, from 0."""

    index: int
    kind: str
    label: str
    needed: bool
    fixed: int = 0


@dataclass(frozen=True)
class Slots:
    """What a template asks for at every send."""

    named: bool
    header_format: str | None
    header: Text
    body: Text
    body_only: bool
    buttons: tuple[Button, ...]
    unsupported: tuple[str, ...]

    @cached_property
    def button_at(self) -> dict[int, Button]:
        return {button.index: button for button in self.buttons}

    def described(self) -> list[dict[str, Any]]:
        """The slots for people and for the API, in the order of the message."""
        rows: list[dict[str, Any]] = []
        if self.header_format in (*MEDIA, "LOCATION"):
            rows.append({"component": "HEADER", "key": "1", "type": self.header_format, "required": True})
        rows += [_row("HEADER", n, "TEXT", True) for n in self.header.names]
        rows += [_row("BODY", n, "TEXT", True) for n in self.body.names]
        rows += [_row("BUTTONS", str(b.index), b.kind.upper(), b.needed) for b in self.buttons]
        return rows


def slots(components: list[dict[str, Any]], parameter_format: str | None = None) -> Slots:
    """The slots of a definition; components this version cannot fill are named, not dropped."""
    by_type: dict[str, dict[str, Any]] = {str(c.get("type", "")).upper(): c for c in components}
    header = by_type.get("HEADER", {})
    header_format = str(header.get("format", "TEXT")).upper() if header else None
    texts = Text((), 0) if header_format not in (None, "TEXT") else _text(header.get("text", ""))
    body = _text(by_type.get("BODY", {}).get("text", ""))
    buttons = by_type.get("BUTTONS", {}).get("buttons", [])
    named = parameter_format == "NAMED" or any(not name.isdigit() for name in (*texts.names, *body.names))
    return Slots(
        named=named,
        header_format=header_format,
        header=texts,
        body=body,
        body_only=set(by_type) == {"BODY"},
        buttons=tuple(b for b in (_button(i, b) for i, b in enumerate(buttons)) if b),
        unsupported=_unsupported(by_type, header_format, buttons),
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
    if not any(isinstance(item, dict) for item in given):
        return {"BODY": given} if given else {}
    return _component_list(given, where, faults)


def _component_list(given: list[Any], where: str, faults: Faults) -> Variables:
    found: Variables = {}
    for i, item in enumerate(given):
        kind = item.get("type") if isinstance(item, dict) else None
        if not isinstance(kind, str) or kind.upper() not in _COMPONENTS:
            faults.add(f"{where}[{i}].type", f"must be one of {', '.join(_COMPONENTS)}")
            continue
        superfluous = set(item) - {"type", "parameters"}
        for name in sorted(superfluous):
            faults.add(f"{where}[{i}].{name}", "is not a field of a component")
        if kind.upper() in found:
            faults.add(f"{where}[{i}].type", f"{kind.upper()} appears twice")
        parameters = item.get("parameters", [])
        if not isinstance(parameters, dict | list):
            faults.add(f"{where}[{i}].parameters", "must be a list or an object")
            continue
        found[kind.upper()] = parameters
    return found


def merge(under: Variables, over: Variables) -> Variables:
    """`over` laid over `under`: components meet by type, objects merge by key, lists replace."""
    if not under or not over:
        return over or under
    merged = dict(under)
    for kind, parameters in over.items():
        below = merged.get(kind)
        if isinstance(below, dict) and isinstance(parameters, dict):
            merged[kind] = {**below, **parameters}
        else:
            merged[kind] = parameters
    return merged


def fill(template: Slots, variables: Variables, where: str, faults: Faults) -> list[dict[str, Any]]:
    """The Graph components of one message (Meta, template messages); faults are added, not raised."""
    components: list[dict[str, Any]] = []
    header = _fill_header(template, variables.get("HEADER", []), where, faults)
    if header:
        components.append({"type": "header", "parameters": header})
    body = _fill_text("BODY", template.body, template.named, variables.get("BODY", []), where, faults)
    limit = BODY_ONLY_LIMIT if template.body_only else BODY_LIMIT
    _check_length("BODY", template.body, body, limit, where, faults)
    if body:
        components.append({"type": "body", "parameters": body})
    components += _fill_buttons(template, variables.get("BUTTONS", []), body, where, faults)
    for kind in variables:
        if kind not in _COMPONENTS:
            faults.add(where, f"{kind} is not a component that takes variables")
    return components


def _fill_header(template: Slots, given: Parameters, where: str, faults: Faults) -> list[dict[str, Any]]:
    if template.header_format in MEDIA:
        return _fill_media(template.header_format, _only_value(given), where, faults)
    if template.header_format == "LOCATION":
        return _fill_location(_only_value(given), where, faults)
    filled = _fill_text("HEADER", template.header, template.named, given, where, faults)
    _check_length("HEADER", template.header, filled, HEADER_LIMIT, where, faults)
    return filled


def _fill_text(
    component: str, text: Text, named: bool, given: Parameters, where: str, faults: Faults
) -> list[dict[str, Any]]:
    if isinstance(given, list):
        if named and len(text.names) == len(given) == 1:
            # One value for one name needs no name: a header has at most one variable.
            return _fill_text(component, text, named, {text.names[0]: given[0]}, where, faults)
        if named and given:
            faults.add(where, f"{component} needs its variables by name: {', '.join(text.names)}")
            return []
        if named and text.names and not given:
            faults.add(where, f"{component} needs {_listed(text.names)}; got none")
            return []
        if len(given) != len(text.names):
            faults.add(where, f"{component} needs {_count(len(text.names))}; got {len(given)}")
            return []
        # Positional templates number their placeholders from 1, whatever order the text uses them in.
        values: Mapping[str, Any] = {str(i): value for i, value in enumerate(given, 1)}
    else:
        values = given
    if values.keys() != set(text.names):
        faults.add(where, f"{component} needs {_listed(text.names)}; got {_listed(values)}")
        return []
    order = text.names if named else sorted(text.names, key=int)
    filled = []
    for name in order:
        value = values[name]
        if _usable(value, f"{component} {name}", where, faults):
            parameter = {"type": "text", "text": value}
            if named:
                parameter["parameter_name"] = name
            filled.append(parameter)
    return filled


def _usable(value: Any, what: str, where: str, faults: Faults) -> bool:
    """Meta's rules for a text value: not empty, no line break or tab, no more than four spaces in a row."""
    if not isinstance(value, str):
        faults.add(where, f"{what} must be a text")
    elif not value.strip():
        faults.add(where, f"{what} must not be empty")
    elif _FORBIDDEN.search(value):
        faults.add(where, f"{what} must not contain line breaks, tabs or more than four spaces in a row")
    else:
        return True
    return False


def _fill_media(kind: str, value: Any, where: str, faults: Faults) -> list[dict[str, Any]]:
    low = kind.lower()
    if isinstance(value, str):
        value = {"id": value} if value.isdigit() else {"link": value}
    if not isinstance(value, dict) or len({"id", "link"} & value.keys()) != 1:
        faults.add(where, f"HEADER needs one {low}: the address of the file or a media id")
        return []
    allowed = {"id", "link", "filename"} if kind == "DOCUMENT" else {"id", "link"}
    if set(value) - allowed or not all(isinstance(v, str) and v for v in value.values()):
        faults.add(where, f"HEADER {low} takes {_listed(sorted(allowed))}, each a text")
        return []
    if "link" in value and not _LINK.fullmatch(value["link"]):
        faults.add(where, f"HEADER {low} must be an http or https address or a media id")
        return []
    return [{"type": low, low: value}]


def _fill_location(value: Any, where: str, faults: Faults) -> list[dict[str, Any]]:
    needed = ("latitude", "longitude", "name", "address")
    if not isinstance(value, dict) or set(value) != set(needed):
        faults.add(where, f"HEADER needs a location with {_listed(needed)}")
        return []
    for name, most in (("latitude", 90), ("longitude", 180)):
        if not _is_degree(value[name], most):
            faults.add(where, f"HEADER {name} must be a number from -{most} to {most}")
    for name in ("name", "address"):
        _usable(value[name], f"HEADER {name}", where, faults)
    return [{"type": "location", "location": {key: str(value[key]) for key in needed}}]


def _is_degree(value: Any, most: int) -> bool:
    if not isinstance(value, int | float | str) or isinstance(value, bool):
        return False
    try:
        return abs(float(value)) <= most
    except ValueError:
        return False


def _fill_buttons(
    template: Slots, given: Parameters, body: list[dict[str, Any]], where: str, faults: Faults
) -> list[dict[str, Any]]:
    values = _by_position(given, where, faults)
    for index in values.keys() - template.button_at.keys():
        faults.add(where, f"BUTTONS has no button at position {index} that takes a value")
    filled = []
    for button in template.buttons:
        value = values.get(button.index)
        if button.kind == "otp":
            # An authentication template carries its code twice: in the text and in the button.
            value = body[0]["text"] if body else value
        if value is None:
            if button.needed:
                faults.add(where, f'BUTTONS needs a value for "{button.label}" at position {button.index}')
        elif _usable(value, f"BUTTONS {button.index}", where, faults):
            filled.append(_fill_button(button, value, where, faults))
    return filled


def _fill_button(button: Button, value: str, where: str, faults: Faults) -> dict[str, Any]:
    if button.kind in ("url", "otp"):
        if button.fixed + len(value) > URL_LIMIT:
            faults.add(where, f"BUTTONS {button.index}: the address would exceed {URL_LIMIT} characters")
        parameter: dict[str, Any] = {"type": "text", "text": value}
    elif button.kind == "quick_reply":
        parameter = {"type": "payload", "payload": value}
    elif button.kind == "copy_code":
        if len(value) > COUPON_LIMIT:
            faults.add(where, f"BUTTONS {button.index}: a code has at most {COUPON_LIMIT} characters")
        parameter = {"type": "coupon_code", "coupon_code": value}
    else:
        parameter = {"type": "action", "action": {"flow_token": value}}
    kind = "url" if button.kind == "otp" else button.kind
    return {"type": "button", "sub_type": kind, "index": str(button.index), "parameters": [parameter]}


def _by_position(given: Parameters, where: str, faults: Faults) -> dict[int, Any]:
    if isinstance(given, list):
        return {i: value for i, value in enumerate(given) if value is not None}
    values = {}
    for key, value in given.items():
        if key.isdecimal() and key.isascii() and len(key) < 3:
            values[int(key)] = value
        else:
            faults.add(where, f'BUTTONS takes positions from 0, not "{key}"')
    return values


def _check_length(
    component: str, text: Text, filled: list[dict[str, Any]], limit: int, where: str, faults: Faults
) -> None:
    length = text.fixed + sum(len(parameter.get("text", "")) for parameter in filled)
    if length > limit:
        faults.add(where, f"{component} would have {length} characters; Meta allows {limit}")


def _only_value(given: Parameters) -> Any:
    if isinstance(given, list):
        return given[0] if len(given) == 1 else None
    return given.get("1", given) if len(given) == 1 else given or None


def _text(text: str) -> Text:
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))
    return Text(names, len(_PLACEHOLDER.sub("", text)))


def _button(index: int, button: dict[str, Any]) -> Button | None:
    kind = str(button.get("type", "")).upper()
    label = str(button.get("text", kind))
    if kind == "URL":
        url = str(button.get("url", ""))
        if not _PLACEHOLDER.search(url):
            return None
        otp = "otp" in url and "whatsapp.com" in url
        return Button(index, "otp" if otp else "url", label, True, len(_PLACEHOLDER.sub("", url)))
    if kind in _BUTTON_KINDS:
        return Button(index, _BUTTON_KINDS[kind], label, kind in ("COPY_CODE", "OTP"))
    return None


def _unsupported(
    by_type: dict[str, Any], header_format: str | None, buttons: list[dict[str, Any]]
) -> tuple[str, ...]:
    known = {"HEADER", "BODY", "FOOTER", "BUTTONS"}
    found = set(by_type) - known
    if header_format not in (None, "TEXT", "LOCATION", *MEDIA):
        found.add(f"HEADER {header_format}")
    kinds = {str(b.get("type", "")).upper() for b in buttons}
    found |= {f"button {k}" for k in kinds - {"URL", "PHONE_NUMBER", "VOICE_CALL", *_BUTTON_KINDS}}
    return tuple(sorted(found))


def _count(number: int) -> str:
    return f"{number} variable" + "s" * (number != 1)


def _row(component: str, key: str, kind: str, required: bool) -> dict[str, Any]:
    return {"component": component, "key": key, "type": kind, "required": required}


def _listed(names: Any) -> str:
    return ", ".join(str(n)[:40] for n in names) or "none"
