"""Slots: what a template asks for at every send, read from its definition."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from broadcaster.domain.templates.buttons import Button, Buttons
from broadcaster.domain.templates.carousel import Carousel
from broadcaster.domain.templates.filling import Filling
from broadcaster.domain.templates.part import Definition, Part, Place
from broadcaster.domain.templates.shapes import Component, Defined, Variables, kind_of
from broadcaster.domain.templates.table import PARTS
from broadcaster.domain.templates.texts import has_names
from broadcaster.errors import Faults


@dataclass(frozen=True)
class Slots:
    """What a template, or one card of it, asks for at every send.

    `unsupported` names what of it this version cannot fill.
    """

    named: bool
    parts: tuple[Part, ...]
    unsupported: tuple[str, ...]

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Every value a message can carry, in the order of the message; those of cards come last."""
        places = [place for part in self.parts for place in part.places()]
        return tuple(sorted(places, key=lambda place: place.card is not None))

    @cached_property
    def flat_names(self) -> frozenset[str]:
        return frozenset(place.name for place in self.places)

    @cached_property
    def cards(self) -> "tuple[Slots, ...]":
        return next((part.cards for part in self.parts if isinstance(part, Carousel)), ())

    @cached_property
    def buttons(self) -> tuple[Button, ...]:
        """The buttons that take a value."""
        return next((part.buttons for part in self.parts if isinstance(part, Buttons)), ())

    def fill(self, variables: Variables, filling: Filling) -> list[Component]:
        """The components of one message, or of one card; faults go to the filling."""
        components: list[Component] = []
        for part, kind, is_asking in self._in_order:
            if is_asking or kind in variables:
                components += part.fill(variables.get(kind, []), filling)
        return components

    @cached_property
    def _in_order(self) -> tuple[tuple[Part, str, bool], ...]:
        # Thousands of messages are filled in a row; what is the same for all is looked up once.
        return tuple((part, part.kind, part.is_asking) for part in self.parts if part.takes_values)


def slots(components: list[Defined], parameter_format: str | None = None) -> Slots:
    """The slots of a definition; components this version cannot fill are named, not dropped."""
    carousel: Defined = next((c for c in components if kind_of(c) == Carousel.kind), {})
    cards = [card.get("components") or [] for card in carousel.get("cards") or []]
    named = parameter_format == "NAMED" or any(_has_names(part) for part in (components, *cards))
    of_cards = tuple(_slots(Definition(_by_type(card), named, is_card=True)) for card in cards)
    return _slots(Definition(_by_type(components), named, is_card=False, cards=of_cards))


def fill(
    template: Slots, variables: Variables, where: str, faults: Faults, notes: Faults | None = None
) -> list[Component]:
    """The Graph components of one message (Meta, template messages).

    Faults are added, not raised; notes are limits on which Meta's own pages disagree.
    """
    return template.fill(variables, Filling(where, faults, notes))


def _slots(definition: Definition) -> Slots:
    kinds = [part for part in PARTS if part.is_for_cards or not definition.is_card]
    parts = tuple(part.read(definition) for part in kinds)
    strange = definition.by_type.keys() - {part.kind for part in kinds}
    unsupported = strange.union(*(part.unsupported for part in parts))
    return Slots(definition.named, parts, tuple(sorted(unsupported)))


def _by_type(components: Sequence[Defined]) -> dict[str, Defined]:
    return {kind_of(component): component for component in components}


def _has_names(components: Sequence[Defined]) -> bool:
    return any(has_names(c.get("text")) for c in components if kind_of(c) in ("HEADER", "BODY"))
