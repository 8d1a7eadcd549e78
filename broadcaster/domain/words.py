"""The words of which there are only so many, each set declared once.

They are named aliases and not bare Literals, so that the API document has a named schema for each.
"""

from typing import Literal

from typing_extensions import TypeAliasType

MessageState = TypeAliasType(
    "MessageState", Literal["pending", "sending", "sent", "failed", "unknown", "cancelled"]
)
"""What we did with a message."""
Delivery = TypeAliasType("Delivery", Literal["sent", "delivered", "read", "failed"])
"""What Meta said of a message afterwards."""
MessageStanding = TypeAliasType(
    "MessageStanding", Literal["sent", "delivered", "read", "failed", "pending", "cancelled"]
)
"""State and delivery of a message in one word, for APIs that know one word for both."""
BroadcastStatus = TypeAliasType(
    "BroadcastStatus",
    Literal["scheduled", "queued", "sending", "paused", "completed", "partial", "failed", "cancelled"],
)
"""Where a broadcast stands; a message that a receipt calls failed counts as handed over."""
BroadcastStage = TypeAliasType(
    "BroadcastStage", Literal["waiting", "under way", "completed", "partial", "failed", "cancelled"]
)
"""Where a broadcast stands for APIs to whom a message that a receipt calls failed is a failure."""

PauseReason = TypeAliasType("PauseReason", Literal["paused", "token", "template", "channel"])
"""Why a broadcast or a channel is paused: by an operator, or by what has to be mended first."""
WaitReason = TypeAliasType(
    "WaitReason",
    Literal[
        "schedule", "quota", "pace", "paused", "retry", "token", "template", "channel", "receipts"
    ],
)  # fmt: skip
"""Why messages of a broadcast have not left yet."""

TallyName = TypeAliasType(
    "TallyName",
    Literal[
        "broadcasts_accepted", "messages_accepted", "answers", "messages_sent", "messages_failed", "receipts",
        "callbacks", "webhook_deliveries",
    ],
)  # fmt: skip
"""What is counted for ever, for those who watch."""

ActionKey = TypeAliasType("ActionKey", Literal["assign-to-user", "assign-to-workgroup"])
"""What becomes of a conversation once its message left."""
WebhookDeliveryState = TypeAliasType("WebhookDeliveryState", Literal["pending", "delivered", "failed"])
"""How far an event is on its way to a webhook."""

OnDuplicate = TypeAliasType("OnDuplicate", Literal["drop", "reject", "allow"])
"""What becomes of a second entry for one person: it is left out, refuses the request, or is sent too."""
OnInvalid = TypeAliasType("OnInvalid", Literal["reject", "fail"])
"""What an entry that cannot be sent does: it refuses the request, or fails alone."""
OnUnknown = TypeAliasType("OnUnknown", Literal["fail", "hold", "resend"])
"""What becomes of a message whose outcome nobody tells in time."""
