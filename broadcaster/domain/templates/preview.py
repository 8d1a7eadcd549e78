"""The preview: what a person will see of one message."""

from collections.abc import Sequence

from broadcaster.domain.templates.part import Sent
from broadcaster.domain.templates.shapes import Component, Defined, Preview, kind_of
from broadcaster.domain.templates.table import PARTS

_PARTS = {part.kind: part for part in PARTS}


def preview(definition: list[Defined], sent: Sequence[Component]) -> Preview:
    """What a person will see of one message: texts with their values, media by address or id."""
    seen: Preview = {"header": None, "body": "", "footer": None, "buttons": [], "cards": []}
    message = Sent(sent)
    for defined in definition:
        part = _PARTS.get(kind_of(defined))
        if part:
            seen.update(part.show(defined, message, preview))
    return seen
