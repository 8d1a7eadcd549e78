import json
from pathlib import Path
from typing import Any

import pytest

from broadcaster import templates
from broadcaster.errors import Faults
from broadcaster.sandbox.check import Refused, check_template

ROWS = json.loads((Path(templates.__file__).parent / "sandbox" / "templates.json").read_text())
BY_NAME = {(row["name"], row["language"]): row for row in ROWS}


def filled(name: str, variables: Any, language: str = "en") -> tuple[list[dict[str, Any]], list[str]]:
    row = BY_NAME[name, language]
    faults = Faults()
    parsed = templates.parse_variables(variables, "variables", faults)
    slots = templates.slots(row["components"], row["parameter_format"])
    components = templates.fill(slots, parsed, "variables", faults)
    return components, [fault.message for fault in faults.shown]


def component(kind: str, parameters: Any) -> dict[str, Any]:
    return {"type": kind, "parameters": parameters}


GOOD = [
    ("hello_world", "tr", None),
    ("hello_world", "en_US", []),
    ("appointment", "en", ["Ana", "Monday", "10:00", "your papers"]),
    ("appointment", "en", {"1": "Ana", "2": "Monday", "3": "10:00", "4": "papers"}),
    (
        "appointment",
        "en",
        [component("BODY", ["Ana", "Mon", "10", "x"]), component("BUTTONS", {"1": "cancel-7"})],
    ),
    (
        "order_update",
        "en",
        [
            component("HEADER", {"order": "A-1"}),
            component("BODY", {"name": "Ana", "order": "A-1", "day": "Monday"}),
            component("BUTTONS", [None, "A-1"]),
        ],
    ),
    (
        "product_news",
        "en",
        [
            component("HEADER", ["https://cdn.example/a.jpg"]),
            component("BODY", ["Ana", "Tea", "5"]),
            component("BUTTONS", {"1": "tea"}),
        ],
    ),
    (
        "event_trailer",
        "en",
        [component("HEADER", ["123456"]), component("BODY", {"name": "A", "event": "B"})],
    ),
    (
        "invoice",
        "en",
        [
            component("HEADER", [{"link": "https://cdn.example/i.pdf", "filename": "i.pdf"}]),
            component("BODY", {"name": "Ana", "amount": "5"}),
        ],
    ),
    (
        "branch_opening",
        "en",
        [
            component("HEADER", [{"latitude": 1.5, "longitude": 2, "name": "n", "address": "a"}]),
            component("BODY", ["Ana"]),
        ],
    ),
    (
        "coupon",
        "en",
        [
            component("HEADER", ["10%"]),
            component("BODY", ["TEN", "May"]),
            component("BUTTONS", {"0": "TEN10"}),
        ],
    ),
    ("verification_code", "en", ["482913"]),
    ("feedback", "en", ["Ana"]),
]


@pytest.mark.parametrize(("name", "language", "variables"), GOOD)
def test_what_fits_passes_the_sandboxs_own_check(name: str, language: str, variables: Any) -> None:
    components, faults = filled(name, variables, language)
    assert faults == []
    sent = {"name": name, "language": {"code": language}, "components": components}
    check_template(sent, BY_NAME)


def test_the_components_are_metas_shape() -> None:
    components, faults = filled("order_update", GOOD[5][2])
    assert faults == []
    assert components == [
        {"type": "header", "parameters": [{"type": "text", "text": "A-1", "parameter_name": "order"}]},
        {
            "type": "body",
            "parameters": [
                {"type": "text", "text": "Ana", "parameter_name": "name"},
                {"type": "text", "text": "A-1", "parameter_name": "order"},
                {"type": "text", "text": "Monday", "parameter_name": "day"},
            ],
        },
        {"type": "button", "sub_type": "url", "index": "1", "parameters": [{"type": "text", "text": "A-1"}]},
    ]


def test_positional_variables_follow_their_numbers() -> None:
    components, _ = filled("appointment", {"4": "d", "2": "b", "1": "a", "3": "c"})
    assert [parameter["text"] for parameter in components[0]["parameters"]] == ["a", "b", "c", "d"]


def test_a_one_time_code_stands_in_text_and_button() -> None:
    components, _ = filled("verification_code", ["482913"])
    assert [c["parameters"][0]["text"] for c in components] == ["482913", "482913"]
    assert components[1]["sub_type"] == "url"


@pytest.mark.parametrize(
    ("name", "variables", "fault"),
    [
        ("appointment", ["Ana"], "BODY needs 4 variables; got 1"),
        ("appointment", None, "BODY needs 4 variables; got 0"),
        ("appointment", {"1": "a", "2": "b", "3": "c"}, "BODY needs 1, 2, 3, 4; got 1, 2, 3"),
        ("invoice", {"nombre": "Ana", "amount": "5"}, "BODY needs name, amount; got nombre, amount"),
        ("invoice", ["Ana", "5"], "BODY needs its variables by name: name, amount"),
        ("invoice", None, "BODY needs name, amount; got none"),
        ("feedback", ["Ana", "too much"], "BODY needs 1 variable; got 2"),
        ("feedback", [""], "BODY 1 must not be empty"),
        ("feedback", ["  "], "BODY 1 must not be empty"),
        ("feedback", ["a\nb"], "BODY 1 must not contain line breaks, tabs or more than four spaces in a row"),
        (
            "feedback",
            ["a     b"],
            "BODY 1 must not contain line breaks, tabs or more than four spaces in a row",
        ),
        ("feedback", [7], "BODY 1 must be a text"),
        ("feedback", [["x"]], "BODY 1 must be a text"),
        ("feedback", ["x" * 1100], "BODY would have 1149 characters; Meta allows 1024"),
        ("feedback", "Ana", "must be a map of variables, a list of texts or a list of components"),
        ("feedback", [component("CARD", [])], "must be one of HEADER, BODY, BUTTONS"),
        ("feedback", [component("BODY", ["a"]), component("body", ["b"])], "BODY appears twice"),
        ("feedback", [component("BODY", "a")], "must be a list or an object"),
        (
            "feedback",
            [component("BODY", ["a"]), component("HEADER", ["b"])],
            "HEADER needs 0 variables; got 1",
        ),
        (
            "feedback",
            [component("BODY", ["a"]), component("BUTTONS", {"3": "b"})],
            "BUTTONS has no button at position 3 that takes a value",
        ),
        (
            "feedback",
            [component("BODY", ["a"]), component("BUTTONS", {"first": "b"})],
            'BUTTONS takes positions from 0, not "first"',
        ),
        ("product_news", ["a", "b", "c"], "HEADER needs one image: the address of the file or a media id"),
        (
            "product_news",
            [component("HEADER", ["ftp://x"]), component("BODY", ["a", "b", "c"])],
            "HEADER image must be an http or https address or a media id",
        ),
        (
            "product_news",
            [component("HEADER", ["https://x y z\n<>"]), component("BODY", ["a", "b", "c"])],
            "HEADER image must be an http or https address or a media id",
        ),
        (
            "branch_opening",
            [
                component("HEADER", [{"latitude": "91", "longitude": None, "name": [], "address": "a"}]),
                component("BODY", ["a"]),
            ],
            "HEADER latitude must be a number from -90 to 90",
        ),
        (
            "product_news",
            [component("HEADER", ["123"]), component("BODY", ["a", "b", "c"])],
            'BUTTONS needs a value for "See it" at position 1',
        ),
    ],
)
def test_what_does_not_fit_says_what_was_expected(name: str, variables: Any, fault: str) -> None:
    _, faults = filled(name, variables)
    assert fault in faults


def test_own_variables_are_laid_over_the_defaults() -> None:
    under = {"BODY": {"name": "Ana", "day": "Monday"}, "BUTTONS": ["a"], "HEADER": ["h"]}
    over = {"BODY": {"name": "Ben"}, "BUTTONS": ["b"]}
    merged = templates.merge(under, over)  # type: ignore[arg-type]
    assert merged == {"BODY": {"name": "Ben", "day": "Monday"}, "BUTTONS": ["b"], "HEADER": ["h"]}


def test_parts_this_release_cannot_fill_are_named() -> None:
    kinds = {
        name: templates.slots(BY_NAME[name, "en"]["components"]).unsupported
        for name in ("collection", "flash_sale")
    }
    assert kinds == {"collection": ("CAROUSEL",), "flash_sale": ("LIMITED_TIME_OFFER",)}


def test_slots_are_described_in_the_order_of_the_message() -> None:
    row = BY_NAME["order_update", "en"]
    described = templates.slots(row["components"], row["parameter_format"]).described()
    assert [(slot["component"], slot["key"], slot["required"]) for slot in described] == [
        ("HEADER", "order", True),
        ("BODY", "name", True),
        ("BODY", "order", True),
        ("BODY", "day", True),
        ("BUTTONS", "0", False),
        ("BUTTONS", "1", True),
    ]


def test_the_sandbox_refuses_what_meta_refuses() -> None:
    sent = {"name": "feedback", "language": {"code": "en"}, "components": []}
    with pytest.raises(Refused) as caught:
        check_template(sent, BY_NAME)
    assert caught.value.code == 132000
