"""The buttons: those that take a value, by their position among all."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, assert_never

from broadcaster.domain import strict_json
from broadcaster.domain.templates.filling import Filling
from broadcaster.domain.templates.part import Definition, Part, Place, Sent, Show
from broadcaster.domain.templates.shapes import (
    Component,
    Defined,
    Parameter,
    PartOfPreview,
    PreviewButton,
    kind_of,
)
from broadcaster.domain.templates.texts import PLACEHOLDER, shown

ButtonKind = Literal["url", "otp", "quick_reply", "copy_code", "flow"]

URL_LIMIT, CODE_LIMIT = 2000, 15
"""Characters of an address and of a one-time code (Meta, template components)."""
COUPON_LIMIT, SAFE_COUPON_LIMIT = 20, 15
"""Meta's coupon page says 20, its components page 15: above 20 refused, above 15 noted."""
LONGEST_DATA = 4000
"""Characters of a flow's data as JSON. Ours: Meta states no limit."""
_KINDS: dict[str, ButtonKind] = {
    "QUICK_REPLY": "quick_reply",
    "COPY_CODE": "copy_code",
    "FLOW": "flow",
    "OTP": "otp",
}
_NEEDED: tuple[ButtonKind, ...] = ("url", "copy_code", "otp")
"""Kinds that must have a value; the others have one of their own."""
_KNOWN = {"URL", "PHONE_NUMBER", "VOICE_CALL", *_KINDS}
_POSITION = re.compile("[0-9]{1,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Button:
    """A button that takes a value; `index` is its position among all buttons, from 0."""

    index: int
    kind: ButtonKind
    label: str
    fixed: int = 0
    """Characters of its address around the value."""

    @property
    def needed(self) -> bool:
        return self.kind in _NEEDED


@dataclass(frozen=True)
class Buttons(Part):
    kind: ClassVar[str] = "BUTTONS"
    is_for_cards: ClassVar[bool] = True

    buttons: tuple[Button, ...]
    unsupported_kinds: frozenset[str]

    @cached_property
    def positions(self) -> frozenset[int]:
        """Where a value may go."""
        return frozenset(button.index for button in self.buttons)

    @cached_property
    def has_one_time_code(self) -> bool:
        return any(button.kind == "otp" for button in self.buttons)

    @classmethod
    def read(cls, definition: Definition) -> Self:
        defined = definition.part(cls.kind).get("buttons") or []
        read = (_read(i, button) for i, button in enumerate(defined))
        buttons = tuple(button for button in read if button)
        strange = frozenset(f"button {kind}" for kind in {kind_of(b) for b in defined} - _KNOWN)
        return cls(buttons, strange)

    @property
    def is_asking(self) -> bool:
        return bool(self.buttons)

    @property
    def unsupported(self) -> frozenset[str]:
        return self.unsupported_kinds

    def places(self) -> list[Place]:
        return [
            Place(
                self.kind,
                str(button.index),
                button.kind.upper(),
                # A one-time code is taken from the body.
                button.needed and button.kind != "otp",
                f"button.{button.index}",
            )
            for button in self.buttons
        ]

    def fill(self, given: Any, filling: Filling) -> list[Component]:
        if self.has_one_time_code and filling.body:
            _check_code(filling.body[0].get("text", ""), filling)
        values = _by_position(given, filling)
        strange = min(values.keys() - self.positions, default=None)
        if strange is not None:
            filling.fault(f"BUTTONS has no button at position {strange} that takes a value")
        filled: list[Component] = []
        for button in self.buttons:
            parameter = _parameter(button, values.get(button.index), filling)
            if parameter is not None:
                filled.append(
                    {
                        "type": "button",
                        "sub_type": "url" if button.kind == "otp" else button.kind,
                        "index": str(button.index),
                        "parameters": [parameter],
                    }
                )
        return filled

    @classmethod
    def show(cls, defined: Defined, sent: Sent, show_card: Show) -> PartOfPreview:
        rows = enumerate(defined.get("buttons") or [])
        return {"buttons": [_seen(button, sent.button(i)) for i, button in rows]}


def _read(index: int, defined: Defined) -> Button | None:
    """A button that takes a value, None of one that takes none."""
    kind = kind_of(defined)
    label = str(defined.get("text") or kind)
    if kind == "URL":
        url = str(defined.get("url") or "")
        if not PLACEHOLDER.search(url):
            return None
        is_code = "otp" in url and "whatsapp.com" in url
        return Button(index, "otp" if is_code else "url", label, len(PLACEHOLDER.sub("", url)))
    return Button(index, _KINDS[kind], label) if kind in _KINDS else None


def _by_position(given: Any, filling: Filling) -> dict[int, Any]:
    if isinstance(given, list):
        return {i: value for i, value in enumerate(given) if value is not None}
    values = {int(key): value for key, value in given.items() if _POSITION.fullmatch(key)}
    strange = next((key for key in given if not _POSITION.fullmatch(key)), None)
    if strange is not None:
        filling.fault(f'BUTTONS takes positions from 0, not "{strange[:40]}"')
    return values


def _parameter(button: Button, value: Any, filling: Filling) -> Parameter | None:
    """What Graph is sent of one button, None of one without a value."""
    if button.kind == "otp" and filling.body:
        # An authentication template carries its code twice: in the text and in the button.
        value = shown(filling.body[0])
    if value is None:
        if button.needed:
            filling.fault(f'BUTTONS needs a value for "{button.label}" at position {button.index}')
        return None
    if button.kind == "flow" and isinstance(value, dict):
        return _flow_action(button, value, filling)
    if not filling.is_usable(value, "BUTTONS", str(button.index)):
        return None
    return _text_parameter(button, value, filling)


def _text_parameter(button: Button, value: str, filling: Filling) -> Parameter:
    match button.kind:
        case "quick_reply":
            filling.check_length(f"BUTTONS {button.index}", value)
            return {"type": "payload", "payload": value}
        case "flow":
            filling.check_length(f"BUTTONS {button.index}", value)
            return {"type": "action", "action": {"flow_token": value}}
        case "copy_code":
            _check_coupon(button.index, value, filling)
            return {"type": "coupon_code", "coupon_code": value}
        case "url" | "otp":
            if button.fixed + len(value) > URL_LIMIT:
                filling.fault(f"BUTTONS {button.index}: the address would exceed {URL_LIMIT} characters")
            return {"type": "text", "text": value}
    assert_never(button.kind)


def _flow_action(button: Button, value: dict[str, Any], filling: Filling) -> Parameter | None:
    token, data = value.get("flow_token", "-"), value.get("flow_action_data", {})
    if not value or set(value) - {"flow_token", "flow_action_data"} or not isinstance(data, dict):
        filling.fault(f"BUTTONS {button.index} takes flow_token, a text, and flow_action_data, an object")
        return None
    if not filling.is_usable(token, f"BUTTONS {button.index}", "flow_token"):
        return None
    filling.check_length(f"BUTTONS {button.index}", token)
    if len(strict_json.dumps(data)) > LONGEST_DATA:
        filling.fault(f"BUTTONS {button.index} flow_action_data has more than {LONGEST_DATA} characters")
    return {"type": "action", "action": value}


def _check_coupon(index: int, code: str, filling: Filling) -> None:
    if len(code) > COUPON_LIMIT:
        filling.fault(f"BUTTONS {index}: a code has at most {COUPON_LIMIT} characters")
    elif len(code) > SAFE_COUPON_LIMIT:
        filling.note(f"BUTTONS {index}: Meta may refuse a code of more than {SAFE_COUPON_LIMIT} characters")
    if not code.isalnum():
        filling.note(f"BUTTONS {index}: Meta asks for a code of letters and digits alone")


def _check_code(code: str, filling: Filling) -> None:
    if len(code) > CODE_LIMIT:
        filling.fault(f"BODY: a one-time code has at most {CODE_LIMIT} characters, not {len(code)}")
    elif "://" in code or any(unicodedata.category(c) == "So" for c in code):
        filling.fault("BODY: a one-time code must not contain an address or emoji")


def _seen(defined: Defined, parameter: Parameter) -> PreviewButton:
    value = parameter.get("text") or parameter.get("payload") or parameter.get("coupon_code")
    if "url" in defined and parameter.get("type") == "text":
        value = PLACEHOLDER.sub(lambda _: parameter["text"], str(defined["url"]))
    elif value is None:
        value = defined.get("url") or defined.get("phone_number")
    return {"type": kind_of(defined), "text": defined.get("text"), "value": value}
