"""Part: one component of a template, and the questions each of them answers.

A part is read from the definition that Graph returned. It then says which values it asks for,
turns the values of one message into what Graph is sent, and shows what a person will see of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from broadcaster.domain.templates.filling import Filling
from broadcaster.domain.templates.shapes import (
    Card,
    Component,
    Defined,
    Parameter,
    PartOfPreview,
    Preview,
    Variables,
    kind_of,
)
from broadcaster.errors import Faults

if TYPE_CHECKING:
    from broadcaster.domain.templates.slots import Slots


@dataclass(frozen=True, slots=True)
class Place:
    """Where one value goes: a component and the key there, of a card if `card` says so.

    `name` is unique enough for people who write all values of a message in one flat map.
    """

    component: str
    key: str
    kind: str
    required: bool
    name: str
    card: int | None = None

    def of_card(self, index: int) -> "Place":
        """The same place on a card of a carousel."""
        return replace(self, name=f"card.{index}.{self.name}", card=index)


@dataclass(frozen=True, slots=True)
class Definition:
    """The components of a template, or of one card, by their type.

    `named` says whether the placeholders have names, `cards` what the carousel's cards ask for.
    """

    by_type: Mapping[str, Defined]
    named: bool
    is_card: bool
    cards: "tuple[Slots, ...]" = ()

    def part(self, kind: str) -> Defined:
        """The component of a type; an empty one where the template has none."""
        return self.by_type.get(kind, {})


class Sent:
    """The components of one message, for a look at what a person will see of them."""

    def __init__(self, components: Sequence[Component]):
        self._buttons = {int(c["index"]): c for c in components if kind_of(c) == "BUTTON"}
        self._others = {kind_of(c): c for c in components if kind_of(c) != "BUTTON"}

    def parameters(self, kind: str) -> list[Parameter]:
        component = self._others.get(kind)
        return component.get("parameters", []) if component else []

    def cards(self) -> list[Card]:
        component = self._others.get("CAROUSEL")
        return component.get("cards", []) if component else []

    def button(self, index: int) -> Parameter:
        """The value of the button at a position, an empty one where it takes none."""
        component = self._buttons.get(index)
        return component["parameters"][0] if component else {}


Parse = Callable[[list[Any], str, Faults], Variables]
"""Reads the components of one card."""
Show = Callable[[list[Defined], Sequence[Component]], Preview]
"""Shows one card."""


class Part(ABC):
    """One component of a template; the abstract methods are all that a new one has to answer.

    A part is made of every template, also of those that do not have it: it then asks for nothing
    and refuses what it is given.
    """

    kind: ClassVar[str]
    """The type in definitions and in what callers write."""
    field: ClassVar[str] = "parameters"
    """Where callers write its values in a list of components."""
    is_for_cards: ClassVar[bool] = False
    """Whether a card of a carousel may have it."""
    takes_values: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def read(cls, definition: Definition) -> Self:
        """What a definition says about this component."""

    @property
    @abstractmethod
    def is_asking(self) -> bool:
        """Whether a message has to be filled here even where nothing is given."""

    @abstractmethod
    def places(self) -> list[Place]:
        """The values it asks for, in the order of the message."""

    @abstractmethod
    def fill(self, given: Any, filling: Filling) -> list[Component]:
        """What Graph is sent of it, with these values; faults go to the filling."""

    @classmethod
    @abstractmethod
    def show(cls, defined: Defined, sent: Sent, show_card: Show) -> PartOfPreview:
        """What a person will see of it."""

    @property
    def unsupported(self) -> frozenset[str]:
        """What of it this version cannot fill."""
        return frozenset()

    @classmethod
    def parse(cls, given: Any, where: str, faults: Faults, parse_card: Parse) -> Any:
        """Its values as a caller wrote them, if their form is right; None and a fault if not."""
        if isinstance(given, dict | list):
            return given
        faults.add(f"{where}.{cls.field}", "must be a list or an object")
        return None
