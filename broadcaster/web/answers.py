"""What the answers of several APIs are made of."""

from typing import Annotated, Any

from pydantic import WithJsonSchema

from broadcaster.domain import strict_json

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A moment as ISO 8601 in UTC."""


def stored(text: str | None) -> Any:
    """What a column holds as JSON text; None where it holds nothing."""
    return None if text is None else strict_json.loads(text.encode())
