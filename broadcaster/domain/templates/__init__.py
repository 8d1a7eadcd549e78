"""Templates: from a definition as Graph returns it to its slots, from variables to components.

Pure. One file a component: header, body, footer, limited_time_offer, carousel, buttons; `table`
lists them, `part` says what each has to answer. Faults say what was expected and what came; notes
are what Meta may mind and we cannot know.
"""

from broadcaster.domain.templates.header import MEDIA
from broadcaster.domain.templates.part import Place
from broadcaster.domain.templates.preview import preview
from broadcaster.domain.templates.shapes import Card, Component, Defined, Preview, Variables
from broadcaster.domain.templates.slots import Slots, fill, slots
from broadcaster.domain.templates.values import merge, parse_variables, spread

__all__ = (
    "MEDIA",
    "Card",
    "Component",
    "Defined",
    "Place",
    "Preview",
    "Slots",
    "Variables",
    "fill",
    "merge",
    "parse_variables",
    "preview",
    "slots",
    "spread",
)
