"""The carousel: cards side by side, each with components of its own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from broadcaster.domain.templates.filling import Filling, counted
from broadcaster.domain.templates.part import Definition, Parse, Part, Place, Sent, Show
from broadcaster.domain.templates.shapes import Component, Defined, PartOfPreview, Variables
from broadcaster.errors import Faults

if TYPE_CHECKING:
    from broadcaster.domain.templates.slots import Slots


@dataclass(frozen=True, slots=True)
class Carousel(Part):
    kind: ClassVar[str] = "CAROUSEL"
    field: ClassVar[str] = "cards"

    cards: "tuple[Slots, ...]"

    @classmethod
    def read(cls, definition: Definition) -> Self:
        return cls(definition.cards)

    @property
    def is_asking(self) -> bool:
        return bool(self.cards)

    @property
    def unsupported(self) -> frozenset[str]:
        return frozenset(name for card in self.cards for name in card.unsupported)

    def places(self) -> list[Place]:
        return [place.of_card(i) for i, card in enumerate(self.cards) for place in card.places]

    def fill(self, given: Any, filling: Filling) -> list[Component]:
        if len(given) != len(self.cards):
            filling.fault(f"CAROUSEL needs {counted(len(self.cards), 'card')}; got {len(given) or 'none'}")
            return []
        if not self.cards:
            return []
        pairs = enumerate(zip(self.cards, given, strict=True))
        cards = [(i, card.fill(values, filling.of_card(i))) for i, (card, values) in pairs]
        return [{"type": "carousel", "cards": [{"card_index": i, "components": made} for i, made in cards]}]

    @classmethod
    def show(cls, defined: Defined, sent: Sent, show_card: Show) -> PartOfPreview:
        pairs = zip(defined.get("cards") or [], sent.cards(), strict=False)
        cards = [show_card(card.get("components") or [], made["components"]) for card, made in pairs]
        return {"cards": cards}

    @classmethod
    def parse(cls, given: Any, where: str, faults: Faults, parse_card: Parse) -> list[Variables]:
        where = f"{where}.{cls.field}"
        if not isinstance(given, list):
            faults.add(where, "must be a list of cards")
            return []
        cards = []
        for i, card in enumerate(given):
            components = card.get("components", []) if isinstance(card, dict) else None
            if not isinstance(components, list) or set(card) - {"components"}:
                faults.add(f"{where}[{i}]", "must be an object with a list of components")
                components = []
            cards.append(parse_card(components, f"{where}[{i}].components", faults))
        return cards
