from typing import Any

import pytest

from broadcaster.domain import templates
from broadcaster.domain.templates.table import PARTS
from broadcaster.errors import Faults
from broadcaster.sandbox.check import Refused, check_template
from tests.support.samples import BY_NAME
from tests.support.variables import AMOUNT, CARD, DATE, END, GOOD, OFFER, component, good

TAKING = [part for part in PARTS if part.takes_values]
OF_A_CARD = [part.kind for part in TAKING if part.is_for_cards]
OTHERS = [part.kind for part in TAKING if not part.is_for_cards]
ONE_OF_A_CARD = f"must be one of {', '.join(OF_A_CARD)}"
ONE_OF = f"must be one of {', '.join(OF_A_CARD + OTHERS)}"


def filled(name: str, variables: Any, language: str = "en") -> tuple[list[dict[str, Any]], list[str]]:
    row = BY_NAME[name, language]
    faults = Faults()
    parsed = templates.parse_variables(variables, "variables", faults)
    slots = templates.slots(row["components"], row["parameter_format"])
    components = templates.fill(slots, parsed, "variables", faults)
    return components, [fault.message for fault in faults.shown]


@pytest.mark.parametrize(("name", "language", "variables"), GOOD)
def test_what_fits_passes_the_sandboxs_own_check(name: str, language: str, variables: Any) -> None:
    components, faults = filled(name, variables, language)
    assert faults == []
    sent = {"name": name, "language": {"code": language}, "components": components}
    check_template(sent, BY_NAME)


def test_the_components_are_metas_shape() -> None:
    components, faults = filled("order_update", good("order_update"))
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
        (
            "feedback",
            [component("CARD", [])],
            ONE_OF,
        ),
        ("feedback", [{"time": "10"}], ONE_OF),
        ("feedback", {"1": {"time": "10"}}, "BODY 1 must be a text, or an object with currency or date_time"),
        ("feedback", {"1": {"currency": {"fallback_value": ""}}}, "BODY 1 fallback_value must not be empty"),
        (
            "feedback",
            {"1": {"currency": {"fallback_value": "5", "code": "eur", "amount_1000": 1}}},
            "BODY 1 needs the currency's code, like EUR",
        ),
        (
            "feedback",
            {"1": {"currency": {"fallback_value": "5", "code": "EUR", "amount_1000": 1.5}}},
            "BODY 1 needs amount_1000, the amount in thousandths as a whole number",
        ),
        (
            "feedback",
            [component("BODY", ["a"]), component("BUTTONS", [{"token": "t"}])],
            "BUTTONS 0 takes flow_token, a text, and flow_action_data, an object",
        ),
        ("feedback", [component("BODY", ["a"]), component("BUTTONS", [7])], "BUTTONS 0 must be a text"),
        ("verification_code", ["1" * 16], "BODY: a one-time code has at most 15 characters, not 16"),
        ("verification_code", ["\U0001f600"], "BODY: a one-time code must not contain an address or emoji"),
        ("verification_code", ["x://y"], "BODY: a one-time code must not contain an address or emoji"),
        ("collection", ["Ana"], "CAROUSEL needs 2 cards; got none"),
        (
            "collection",
            [component("BODY", ["Ana"]), {"type": "CAROUSEL", "cards": [CARD]}],
            "CAROUSEL needs 2 cards; got 1",
        ),
        (
            "collection",
            [
                component("BODY", ["Ana"]),
                {"type": "CAROUSEL", "cards": [CARD, {"components": [component("BODY", ["x"])]}]},
            ],
            "CAROUSEL card 1: BODY needs 2 variables; got 1",
        ),
        (
            "collection",
            [
                component("BODY", ["Ana"]),
                {
                    "type": "CAROUSEL",
                    "cards": [CARD, {"components": [component("BODY", ["x" * 150, "y"])]}],
                },
            ],
            "CAROUSEL card 1: BODY would have 162 characters; Meta allows 160",
        ),
        (
            "feedback",
            [component("BODY", ["a"]), {"type": "CAROUSEL", "cards": [CARD]}],
            "CAROUSEL needs 0 cards; got 1",
        ),
        ("collection", [{"type": "CAROUSEL", "cards": {}}], "must be a list of cards"),
        (
            "collection",
            [{"type": "CAROUSEL", "cards": [7, CARD]}],
            "must be an object with a list of components",
        ),
        (
            "collection",
            [{"type": "CAROUSEL", "cards": [{"components": [{"type": "CAROUSEL"}]}, CARD]}],
            ONE_OF_A_CARD,
        ),
        ("flash_sale", [*OFFER[:1], *OFFER[2:]], "LIMITED_TIME_OFFER needs its end as epoch milliseconds"),
        (
            "flash_sale",
            [*OFFER[:1], component("LIMITED_TIME_OFFER", [1_900_000_000]), *OFFER[2:]],
            "LIMITED_TIME_OFFER needs its end in milliseconds; 1900000000 looks like seconds",
        ),
        (
            "flash_sale",
            [*OFFER[:2], component("BODY", ["a" * 580, "b"]), OFFER[3]],
            "BODY would have 607 characters; Meta allows 600",
        ),
        (
            "feedback",
            [component("BODY", ["a"]), component("LIMITED_TIME_OFFER", [END])],
            "the template has no LIMITED_TIME_OFFER that ends",
        ),
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


def test_metas_shape_of_a_carousel() -> None:
    components, faults = filled("collection", good("collection"))
    assert faults == []
    assert [part["type"] for part in components] == ["body", "carousel"]
    card = [
        {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://cdn.example/a.jpg"}}]},
        {"type": "body", "parameters": [{"type": "text", "text": "Tea"}, {"type": "text", "text": "5"}]},
        {"type": "button", "sub_type": "url", "index": "1", "parameters": [{"type": "text", "text": "tea"}]},
    ]
    assert components[1]["cards"] == [
        {"card_index": 0, "components": card},
        {"card_index": 1, "components": card},
    ]


def test_metas_shape_of_an_offer() -> None:
    for end in ([END], [str(END)], {"expiration_time_ms": END}, {"1": END}):
        given = [*OFFER[:1], component("LIMITED_TIME_OFFER", end), *OFFER[2:]]
        components, faults = filled("flash_sale", given)
        assert faults == []
        assert [part["type"] for part in components] == [
            "header", "body", "limited_time_offer", "button", "button",
        ]  # fmt: skip
        offer = {"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": END}}
        assert components[2]["parameters"] == [offer]


def test_amounts_and_dates_go_by_their_fallback() -> None:
    components, _ = filled("appointment", ["Ana", DATE, "10:00", AMOUNT])
    assert components[0]["parameters"][1] == {"type": "date_time", "date_time": {"fallback_value": "Monday"}}
    assert components[0]["parameters"][3] == AMOUNT


def test_limits_meta_states_twice_are_notes() -> None:
    row = BY_NAME["coupon", "en"]
    faults, notes = Faults(), Faults()
    variables = {"HEADER": ["10%"], "BODY": ["TEN", "May"], "BUTTONS": ["TWENTY-AND-MORE-X"]}
    templates.fill(templates.slots(row["components"]), variables, "v", faults, notes)
    assert not faults
    assert [note.message for note in notes.shown] == [
        "BUTTONS 0: Meta may refuse a code of more than 15 characters",
        "BUTTONS 0: Meta asks for a code of letters and digits alone",
    ]


@pytest.mark.parametrize(
    ("name", "variables", "fault"),
    [
        (
            "product_news",
            [component("HEADER", ["https://" + "a" * 3000]), component("BODY", ["a", "b", "c"])],
            "HEADER image has more than 2000 characters",
        ),
        (
            "feedback",
            [component("BODY", ["a"]), component("BUTTONS", ["t" * 1001])],
            "BUTTONS 0 has more than 1000 characters",
        ),
        (
            "feedback",
            [component("BODY", ["a"]), component("BUTTONS", [{"flow_action_data": {"x": "y" * 4000}}])],
            "BUTTONS 0 flow_action_data has more than 4000 characters",
        ),
        (
            "branch_opening",
            [
                component(
                    "HEADER", [{"latitude": 10**400, "longitude": "1_0", "name": "n" * 1001, "address": "a"}]
                ),
                component("BODY", ["a"]),
            ],
            "HEADER latitude must be a number from -90 to 90",
        ),
    ],
)
def test_values_without_a_limit_of_metas_have_ours(name: str, variables: Any, fault: str) -> None:
    _, faults = filled(name, variables)
    assert fault in faults
    if name == "branch_opening":
        assert "HEADER longitude must be a number from -180 to 180" in faults
        assert "HEADER name has more than 1000 characters" in faults


def test_many_wrong_names_are_one_fault() -> None:
    _, faults = filled("invoice", {f"n{i}": "x" for i in range(5000)})
    assert len(faults[1]) < 500
    assert faults[1].endswith("and 4980 more")
    given = [component("BODY", ["a"]), component("BUTTONS", {f"n{i}": "x" for i in range(5000)})]
    assert filled("feedback", given)[1] == ['BUTTONS takes positions from 0, not "n0"']


EMPTY: list[list[dict[str, Any]]] = [
    [{"type": "BODY", "text": None}, {"type": "FOOTER", "text": None}],
    [{"type": "HEADER", "format": "TEXT", "text": None}, {"type": "BUTTONS", "buttons": None}],
    [{"type": "CAROUSEL", "cards": None}, {"type": "LIMITED_TIME_OFFER", "limited_time_offer": None}],
    [{"type": "CAROUSEL", "cards": [{}, {"components": None}]}],
    [{"type": "BUTTONS", "buttons": [{"type": None, "text": None}, {"type": "URL", "url": None}]}],
    [{}],
]


@pytest.mark.parametrize("definition", EMPTY)
def test_definitions_with_empty_parts_are_read(definition: list[dict[str, Any]]) -> None:
    slots = templates.slots(definition)
    components = templates.fill(slots, templates.spread(slots, {}), "v", Faults())
    templates.preview(definition, components)


def test_own_variables_are_laid_over_the_defaults() -> None:
    under = {"BODY": {"name": "Ana", "day": "Monday"}, "BUTTONS": ["a"], "HEADER": ["h"]}
    over = {"BODY": {"name": "Ben"}, "BUTTONS": ["b"]}
    merged = templates.merge(under, over)
    assert merged == {"BODY": {"name": "Ben", "day": "Monday"}, "BUTTONS": ["b"], "HEADER": ["h"]}


def test_a_flat_map_finds_every_place() -> None:
    slots = templates.slots(BY_NAME["collection", "en"]["components"])
    flat = {"1": "Ana"}
    for card in (0, 1):
        flat |= {f"card.{card}.header": "77", f"card.{card}.1": "Tea", f"card.{card}.2": "5"}
        flat[f"card.{card}.button.1"] = "tea"
    faults = Faults()
    components = templates.fill(slots, templates.spread(slots, flat), "v", faults)
    assert not faults
    check_template({"name": "collection", "language": {"code": "en"}, "components": components}, BY_NAME)
    row = BY_NAME["order_update", "en"]
    slots = templates.slots(row["components"], row["parameter_format"])
    assert templates.spread(slots, {"order": "A", "name": "Ana", "day": "May", "button.1": "a"}) == {
        "HEADER": {"order": "A"},
        "BODY": {"name": "Ana", "order": "A", "day": "May"},
        "BUTTONS": {"1": "a"},
    }


def test_a_flat_name_nobody_knows_is_told() -> None:
    slots = templates.slots(BY_NAME["feedback", "en"]["components"])
    faults = Faults()
    templates.fill(slots, templates.spread(slots, {"1": "Ana", "nombre": "x"}), "v", faults)
    assert [fault.message for fault in faults.shown] == ["BODY needs 1; got 1, nombre"]


def test_a_preview_shows_what_will_be_read() -> None:
    seen = templates.preview(
        BY_NAME["order_update", "en"]["components"], filled("order_update", good("order_update"))[0]
    )
    assert seen == {
        "header": {"format": "TEXT", "text": "Order A-1"},
        "body": "Hi Ana, your order A-1 will arrive on Monday.",
        "footer": "Thank you for your order",
        "buttons": [
            {"type": "QUICK_REPLY", "text": "Got it", "value": None},
            {"type": "URL", "text": "Track", "value": "https://shop.example/track/A-1"},
            {"type": "PHONE_NUMBER", "text": "Call us", "value": "+15550100"},
        ],
        "cards": [],
    }
    components, _ = filled("collection", good("collection"))
    seen = templates.preview(BY_NAME["collection", "en"]["components"], components)
    assert [card["body"] for card in seen["cards"]] == ["Tea for 5 only."] * 2
    assert seen["cards"][0]["header"] == {"format": "IMAGE", "text": "https://cdn.example/a.jpg"}
    seen = templates.preview(BY_NAME["flash_sale", "en"]["components"], filled("flash_sale", OFFER)[0])
    assert seen["offer"] == {"text": "Ends soon", "endsAt": END}


def test_a_value_that_looks_like_a_placeholder_stays_as_it_is() -> None:
    components, _ = filled("appointment", ["{{2}}", "\\1", "c", "d"])
    seen = templates.preview(BY_NAME["appointment", "en"]["components"], components)
    assert seen["body"] == "Dear {{2}}, we expect you on \\1 at c. Bring d, please."


def test_parts_this_release_cannot_fill_are_named() -> None:
    product = [{"type": "HEADER", "format": "PRODUCT"}, {"type": "BODY", "text": "x"}]
    many = [{"type": "BODY", "text": "x"}, {"type": "BUTTONS", "buttons": [{"type": "MPM", "text": "See"}]}]
    cards = [{"type": "CAROUSEL", "cards": [{"components": product}]}]
    found = [templates.slots(definition).unsupported for definition in (product, many, cards)]
    assert found == [("HEADER PRODUCT",), ("button MPM",), ("HEADER PRODUCT",)]


def test_places_are_in_the_order_of_the_message() -> None:
    row = BY_NAME["order_update", "en"]
    places = templates.slots(row["components"], row["parameter_format"]).places
    assert [(place.component, place.key, place.required) for place in places] == [
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
