"""The parameters of our own API's queries."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from broadcaster.domain.words import BroadcastStatus, Delivery, MessageState
from broadcaster.settlement import event_documents
from broadcaster.store import events
from broadcaster.web.bodies import Person
from broadcaster.web.own.words import EventName
from broadcaster.web.queries import LARGEST_ID, Query, Whole

MOST_ROWS, MOST_CSV_ROWS = 1000, 5000


def _known(name: str) -> str:
    if name not in event_documents.TYPES:
        raise ValueError(f"must be one of {', '.join(event_documents.TYPES)}")
    return name


_Flag = Literal["true", "false"]
_Code = Annotated[str, Field(description="Only those that failed with it.")]
_Id = Annotated[int, Whole(1, LARGEST_ID)]
_Person = Annotated[
    Person,
    BeforeValidator(str.strip),
    WithJsonSchema({"type": "string", "maxLength": 200}),
    Field(description="A number (escape its + as %2B) or a user id."),
]


class DryRun(Query):
    dryRun: _Flag = "false"


class After(Query):
    """Whatever is read in pages, oldest first."""

    after: Annotated[int, Whole(0, LARGEST_ID), Field(description="The cursor of the page before.")] = 0


class AfterEvent(Query):
    """What follows an event, by its id or the cursor of the page before."""

    after: Annotated[
        int,
        Whole(0, LARGEST_ID),
        BeforeValidator(lambda text: text.removeprefix(events.PREFIX)),
        WithJsonSchema({"type": ["string", "integer"], "pattern": f"^({events.PREFIX})?[0-9]+$"}),
        Field(description="An event's id, or the cursor of the page before."),
    ] = 0


class Listing(After):
    limit: Annotated[int, Whole(1, MOST_ROWS)] = 100


class BroadcastListing(Query):
    status: BroadcastStatus | None = None
    after: _Id | None = None
    limit: Annotated[int, Whole(1, 100)] = 20


class MessageListing(After):
    state: MessageState | None = None
    delivery: Delivery | None = None
    code: str | None = None
    limit: (
        Annotated[
            int,
            Whole(1, MOST_CSV_ROWS),
            Field(description="At most 1000, 100 if left out; as CSV 5000 and 5000."),
        ]
        | None
    ) = None


class Retry(Query):
    code: _Code | None = None


class TemplateListing(Listing):
    channel: str | None = None
    name: str | None = None


class ContactListing(Listing):
    to: _Person | None = None


class ConversationListing(Listing):
    assignedTo: str | None = None


class SuppressionListing(Query):
    to: _Person | None = None
    after: str = ""
    limit: Annotated[int, Whole(1, MOST_ROWS)] = 100


class EventListing(AfterEvent):
    type: Annotated[EventName, AfterValidator(_known)] | None = None
    limit: Annotated[int, Whole(1, MOST_ROWS)] = 100


class DeliveryListing(Query):
    """Newest first."""

    after: _Id | None = None
    limit: Annotated[int, Whole(1, MOST_ROWS)] = 100
