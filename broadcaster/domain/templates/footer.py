"""The footer: a fixed text, which asks for nothing."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from broadcaster.domain.templates.filling import Filling
from broadcaster.domain.templates.part import Definition, Part, Place, Sent, Show
from broadcaster.domain.templates.shapes import Component, Defined, PartOfPreview
from broadcaster.domain.templates.texts import rendered


@dataclass(frozen=True, slots=True)
class Footer(Part):
    kind: ClassVar[str] = "FOOTER"
    is_for_cards: ClassVar[bool] = True
    takes_values: ClassVar[bool] = False

    @classmethod
    def read(cls, definition: Definition) -> Self:
        return cls()

    @property
    def is_asking(self) -> bool:
        return False

    def places(self) -> list[Place]:
        return []

    def fill(self, given: Any, filling: Filling) -> list[Component]:
        return []

    @classmethod
    def show(cls, defined: Defined, sent: Sent, show_card: Show) -> PartOfPreview:
        return {"footer": rendered(defined.get("text"), sent.parameters(cls.kind))}
