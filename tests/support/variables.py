"""Variables that fill the sandbox's templates, one or more for every component there is."""

from typing import Any


def component(kind: str, parameters: Any) -> dict[str, Any]:
    return {"type": kind, "parameters": parameters}


AMOUNT = {"type": "currency", "currency": {"fallback_value": "5 EUR", "code": "EUR", "amount_1000": 5000}}
DATE = {"date_time": {"fallback_value": "Monday", "year": 2030}}
CARD = {
    "components": [
        component("HEADER", ["https://cdn.example/a.jpg"]),
        component("BODY", ["Tea", "5"]),
        component("BUTTONS", {"1": "tea"}),
    ]
}
END = 1_900_000_000_000
OFFER = [
    component("HEADER", ["https://cdn.example/a.jpg"]),
    component("LIMITED_TIME_OFFER", [END]),
    component("BODY", ["Ana", "20%"]),
    component("BUTTONS", ["FLASH20", "ana"]),
]
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
    ("feedback", "en", [component("BODY", ["Ana"]), component("BUTTONS", ["token-7"])]),
    (
        "feedback",
        "en",
        [
            component("BODY", ["Ana"]),
            component("BUTTONS", [{"flow_token": "t", "flow_action_data": {"screen": 1}}]),
        ],
    ),
    ("appointment", "en", ["Ana", DATE, "10:00", AMOUNT]),
    (
        "order_update",
        "en",
        [
            component("HEADER", ["A-1"]),
            component("BODY", {"name": "Ana", "order": AMOUNT, "day": DATE}),
            component("BUTTONS", {"1": "A-1"}),
        ],
    ),
    ("collection", "en", [component("BODY", ["Ana"]), {"type": "CAROUSEL", "cards": [CARD, CARD]}]),
    ("flash_sale", "en", OFFER),
]


def good(name: str) -> Any:
    """The first variables of GOOD that fill a template of this name."""
    return next(variables for one, _, variables in GOOD if one == name)
