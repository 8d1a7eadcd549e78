"""Words of our own API that are declared nowhere below."""

from typing import Annotated, Literal

from pydantic import WithJsonSchema
from typing_extensions import TypeAliasType

from broadcaster.settlement import event_documents

Priority = TypeAliasType("Priority", Literal["normal", "high"])
_TYPES = list(event_documents.TYPES)
EventName = TypeAliasType(
    "EventName",
    Annotated[str, WithJsonSchema({"type": "string", "enum": _TYPES})],
)
"""A type of event that may be asked for."""
AnyEventName = TypeAliasType(
    "AnyEventName",
    Annotated[
        str,
        WithJsonSchema({"type": "string", "enum": [*_TYPES, event_documents.WEBHOOK_TEST.type]}),
    ],
)
"""A type of event, or of the one that tries whether a webhook is reached."""
