"""What a new component of a template may be forgotten in."""

import pkgutil
from importlib import import_module
from pathlib import Path

import broadcaster
from broadcaster.domain import templates
from broadcaster.domain.templates.part import Part
from broadcaster.domain.templates.table import PARTS
from tests.support.samples import BY_NAME
from tests.support.variables import GOOD

MACROS = Path(broadcaster.__file__).parent / "web" / "dashboard" / "templates" / "macros.html"


def test_every_part_is_in_the_table() -> None:
    for module in pkgutil.iter_modules(templates.__path__, f"{templates.__name__}."):
        import_module(module.name)
    assert {part.__name__ for part in Part.__subclasses__()} == {part.__name__ for part in PARTS}


def test_every_part_has_a_type_of_its_own() -> None:
    assert len({part.kind for part in PARTS}) == len(PARTS)


def test_every_part_is_in_a_template_that_the_sandbox_has_and_the_tests_fill() -> None:
    seen = {part["type"] for name, language, _ in GOOD for part in BY_NAME[name, language]["components"]}
    assert seen >= {part.kind for part in PARTS}


def test_every_field_of_a_preview_is_shown_on_the_dashboard() -> None:
    shown = MACROS.read_text()
    assert [field for field in templates.Preview.__annotations__ if f"p.{field}" not in shown] == []
