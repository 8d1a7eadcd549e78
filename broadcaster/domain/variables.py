"""Variables: which template and which values one recipient of a request gets."""

from dataclasses import dataclass
from typing import Any

from broadcaster.domain.templates import Variables, merge


@dataclass(frozen=True, slots=True)
class TemplateRef:
    """A template as a request names it; without a language the only one there is is meant."""

    name: str | None = None
    language: str | None = None
    variables: Any = None


def effective(
    base: TemplateRef,
    base_variables: Variables,
    own: TemplateRef | None,
    own_variables: Variables,
    inherits: bool = True,
) -> tuple[TemplateRef, Variables]:
    """A recipient's own template and variables, laid over the request's if it inherits them."""
    if not inherits:
        return own or TemplateRef(), own_variables
    variables = merge(base_variables, own_variables)
    if own is None:
        return base, variables
    return TemplateRef(own.name or base.name, own.language or base.language), variables
