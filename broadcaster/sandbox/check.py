"""Whether a send fits its template, the way Meta checks it (message templates, error codes)."""

import re
from typing import Any

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_BAD_TEXT = re.compile(r"[\n\r\t]| {5,}")
_RECIPIENT = re.compile(r"\+?[0-9]{6,15}", re.ASCII)
_USER_ID = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}", re.ASCII)
_MEDIA = ("IMAGE", "VIDEO", "DOCUMENT")


class Refused(Exception):
    """A code of Meta's and its details."""

    def __init__(self, code: int, details: str):
        self.code = code
        self.details = details
        super().__init__(details)


def check_envelope(body: Any) -> tuple[str, dict[str, Any]]:
    """The recipient and the template object of a send; raises Refused."""
    if not isinstance(body, dict) or body.get("messaging_product") != "whatsapp":
        raise Refused(100, "messaging_product must be whatsapp")
    if body.get("type") != "template" or not isinstance(body.get("template"), dict):
        raise Refused(100, "type must be template, with a template object")
    to, user = body.get("to"), body.get("recipient")
    if isinstance(to, str) and _RECIPIENT.fullmatch(to):
        recipient = to
    elif to is None and isinstance(user, str) and _USER_ID.fullmatch(user):
        recipient = user
    else:
        raise Refused(131009, "to must be a phone number")
    tag = body.get("biz_opaque_callback_data")
    if tag is not None and (not isinstance(tag, str) or len(tag) > 512):
        raise Refused(100, "biz_opaque_callback_data must be a string of at most 512 characters")
    return recipient, body["template"]


def check_template(sent: dict[str, Any], definitions: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Raises Refused unless the template exists, may be sent and has all its parameters."""
    language = sent.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    definition = definitions.get((str(sent.get("name")), str(code)))
    if definition is None:
        raise Refused(132001, f"template name ({sent.get('name')}) does not exist in {code}")
    if definition["status"] == "PAUSED":
        raise Refused(132015, "the template is paused")
    if definition["status"] != "APPROVED":
        raise Refused(132001, "the template is not approved")
    components = sent.get("components", [])
    if not isinstance(components, list) or not all(isinstance(c, dict) for c in components):
        raise Refused(100, "components must be a list of objects")
    _check_components(components, definition["components"], definition["parameter_format"] == "NAMED")


def _check_components(sent: list[dict[str, Any]], defined: list[dict[str, Any]], named: bool) -> None:
    by_type: dict[str, list[dict[str, Any]]] = {}
    for component in sent:
        by_type.setdefault(str(component.get("type")).lower(), []).append(component)
    for wanted in defined:
        kind = wanted["type"]
        if kind == "HEADER":
            _check_header(_one(by_type, "header"), wanted, named)
        elif kind == "BODY":
            _check_text("body", _one(by_type, "body"), wanted.get("text", ""), named)
        elif kind == "BUTTONS":
            _check_buttons(by_type.pop("button", []), wanted["buttons"])
        elif kind == "CAROUSEL":
            _check_carousel(_one(by_type, "carousel"), wanted["cards"], named)
        elif kind == "LIMITED_TIME_OFFER":
            _check_offer(_one(by_type, "limited_time_offer"))
    if by_type:
        raise Refused(132018, f"the template has no {', '.join(sorted(by_type))}")


def _one(by_type: dict[str, list[dict[str, Any]]], kind: str) -> dict[str, Any] | None:
    found = by_type.pop(kind, [])
    if len(found) > 1:
        raise Refused(100, f"{kind} is given twice")
    return found[0] if found else None


def _parameters(component: dict[str, Any] | None) -> list[dict[str, Any]]:
    parameters = component.get("parameters", []) if component else []
    if not isinstance(parameters, list) or not all(isinstance(p, dict) for p in parameters):
        raise Refused(100, "parameters must be a list of objects")
    return parameters


def _check_header(component: dict[str, Any] | None, wanted: dict[str, Any], named: bool) -> None:
    kind = wanted["format"]
    if kind == "TEXT":
        _check_text("header", component, wanted.get("text", ""), named)
        return
    parameters = _parameters(component)
    if len(parameters) != 1:
        raise Refused(132000, f"header: number of parameters ({len(parameters)}) does not match (1)")
    parameter = parameters[0]
    if parameter.get("type") != kind.lower():
        raise Refused(132012, f"header: format mismatch, expected {kind}, received {parameter.get('type')}")
    value = parameter.get(kind.lower())
    if not isinstance(value, dict):
        raise Refused(132012, f"header: {kind.lower()} is missing")
    if kind in _MEDIA and len({"id", "link"} & set(value)) != 1:
        raise Refused(132012, "header: exactly one of id and link is needed")
    if kind == "LOCATION" and not {"latitude", "longitude", "name", "address"} <= set(value):
        raise Refused(132012, "header: location is incomplete")


def _check_text(where: str, component: dict[str, Any] | None, text: str, named: bool) -> None:
    names = list(dict.fromkeys(_PLACEHOLDER.findall(text)))
    parameters = _parameters(component)
    if len(parameters) != len(names):
        raise Refused(
            132000, f"{where}: number of localizable_params ({len(parameters)}) does not match ({len(names)})"
        )
    if named and {p.get("parameter_name") for p in parameters} != set(names):
        raise Refused(132012, f"{where}: parameter names do not match {names}")
    if not named and any("parameter_name" in p for p in parameters):
        raise Refused(132012, f"{where}: the template is positional, parameter_name is not allowed")
    for parameter in parameters:
        _check_value(where, parameter)


def _check_value(where: str, parameter: dict[str, Any]) -> None:
    kind = parameter.get("type")
    if kind in ("currency", "date_time"):
        value = parameter.get(kind)
        text = value.get("fallback_value") if isinstance(value, dict) else None
    elif kind == "text":
        text = parameter.get("text")
    else:
        raise Refused(132012, f"{where}: format mismatch, received {kind}")
    if not isinstance(text, str) or not text.strip():
        raise Refused(131008, f"{where}: a parameter is empty")
    if _BAD_TEXT.search(text):
        raise Refused(132018, f"{where}: a parameter has line breaks, tabs or more than four spaces in a row")


_BUTTON_TYPES = {
    "quick_reply": ("QUICK_REPLY", "payload"),
    "url": ("URL", "text"),
    "copy_code": ("COPY_CODE", "coupon_code"),
    "flow": ("FLOW", "action"),
}


def _check_buttons(sent: list[dict[str, Any]], defined: list[dict[str, Any]]) -> None:
    given: dict[int, dict[str, Any]] = {}
    for component in sent:
        index = component.get("index")
        if not str(index).isdecimal() or not 0 <= int(str(index)) < len(defined):
            raise Refused(132018, f"button: there is no button at index {index}")
        given[int(str(index))] = component
    for index, button in enumerate(defined):
        kind = "URL" if button["type"] == "OTP" else button["type"]
        needed = kind == "COPY_CODE" or button["type"] == "OTP" or "{{" in button.get("url", "")
        found = given.get(index)
        if found is not None:
            _check_button(index, found, kind, needed)
        elif needed:
            raise Refused(131008, f"button at index {index} requires a parameter")


def _check_button(index: int, component: dict[str, Any], kind: str, needed: bool) -> None:
    sub_type = str(component.get("sub_type")).lower()
    wanted, parameter_type = _BUTTON_TYPES.get(sub_type, (None, None))
    if wanted != kind:
        raise Refused(132018, f"button at index {index} is {kind}, not {sub_type}")
    if kind == "URL" and not needed:
        raise Refused(132018, f"button at index {index} takes no parameter")
    parameters = _parameters(component)
    if len(parameters) != 1 or parameters[0].get("type") != parameter_type:
        raise Refused(132012, f"button at index {index}: one {parameter_type} parameter is needed")
    value = parameters[0].get(parameter_type or "")
    if not value or (parameter_type != "action" and not isinstance(value, str)):
        raise Refused(131008, f"button at index {index}: the parameter is empty")


def _check_carousel(component: dict[str, Any] | None, cards: list[dict[str, Any]], named: bool) -> None:
    given = component.get("cards", []) if component else []
    if not isinstance(given, list) or len(given) != len(cards):
        raise Refused(132000, f"carousel: expected {len(cards)} cards")
    for position, (card, wanted) in enumerate(zip(given, cards, strict=True)):
        if not isinstance(card, dict) or card.get("card_index") != position:
            raise Refused(132012, f"carousel: card_index {position} is missing")
        _check_components(card.get("components", []), wanted["components"], named)


def _check_offer(component: dict[str, Any] | None) -> None:
    parameters = _parameters(component)
    value = parameters[0].get("limited_time_offer") if len(parameters) == 1 else None
    if not isinstance(value, dict) or not isinstance(value.get("expiration_time_ms"), int):
        raise Refused(132012, "limited_time_offer: expiration_time_ms is needed, in milliseconds")
