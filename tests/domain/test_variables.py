"""Which template and which values one recipient gets."""

from broadcaster.domain.variables import TemplateRef, effective

BASE = TemplateRef("welcome", "en")
DEFAULTS = {"BODY": {"name": "Ana", "day": "Monday"}, "HEADER": ["a"]}


def test_a_recipient_without_a_template_gets_the_requests() -> None:
    assert effective(BASE, DEFAULTS, None, {}) == (BASE, DEFAULTS)


def test_own_variables_are_laid_over_those_of_the_request() -> None:
    _, variables = effective(BASE, DEFAULTS, None, {"BODY": {"name": "Ben"}})
    assert variables == {"BODY": {"name": "Ben", "day": "Monday"}, "HEADER": ["a"]}


def test_what_an_own_template_leaves_out_comes_from_the_request() -> None:
    assert effective(BASE, {}, TemplateRef(None, "tr"), {})[0] == TemplateRef("welcome", "tr")
    assert effective(BASE, {}, TemplateRef("farewell"), {})[0] == TemplateRef("farewell", "en")


def test_a_recipient_that_inherits_nothing_stands_alone() -> None:
    own = TemplateRef("farewell", "tr")
    assert effective(BASE, DEFAULTS, own, {"BODY": ["x"]}, inherits=False) == (own, {"BODY": ["x"]})
    assert effective(BASE, DEFAULTS, None, {}, inherits=False) == (TemplateRef(), {})
