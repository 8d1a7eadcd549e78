"""The tables as peewee sees them. Columns only: keys, checks and indexes are the migrations'.

`database` is bound by store.database.open; every thread has a connection of its own.
Times are epoch milliseconds, JSON is text.
"""

from typing import cast

from peewee import (
    AutoField,
    BigIntegerField,
    BooleanField,
    CompositeKey,
    DatabaseProxy,
    FloatField,
    IntegerField,
    Model,
    TextField,
)

from broadcaster.domain.words import (
    ActionKey,
    Delivery,
    MessageState,
    OnUnknown,
    PauseReason,
    TallyName,
    WebhookDeliveryState,
)
from broadcaster.store import packing

database = DatabaseProxy()


class Base(Model):
    class Meta:
        database = database
        legacy_table_names = False


class Installation(Base):
    """One row: `key` names this installation in the callback data of its messages."""

    id = AutoField()
    key = TextField()
    created_at = BigIntegerField()
    dashboard_password = TextField(null=True)
    key_mark = TextField(null=True)


class Channel(Base):
    """One sending number; `access_token` is encrypted."""

    id = AutoField()
    phone_number_id = TextField()
    waba_id = TextField()
    portfolio = TextField()
    display_phone_number = TextField(null=True)
    verified_name = TextField(null=True)
    status = TextField(null=True)
    code_verification_status = TextField(null=True)
    quality_rating = TextField(null=True)
    tier = TextField(null=True)
    throughput = TextField(null=True)
    coexistence = BooleanField(default=False)
    pace_override = FloatField(null=True)
    access_token = TextField()
    created_at = BigIntegerField()
    synced_at = BigIntegerField(null=True)
    paused_at = BigIntegerField(null=True)
    pause_reason = cast("TextField[PauseReason | None]", TextField(null=True))
    pause_detail = TextField(null=True)


class Template(Base):
    """A definition as Graph returned it; `components` is its JSON."""

    id = AutoField()
    waba_id = TextField()
    name = TextField()
    language = TextField()
    status = TextField()
    category = TextField(null=True)
    parameter_format = TextField(null=True)
    quality = TextField(null=True)
    components = TextField()
    synced_at = BigIntegerField()


class Token(Base):
    """One of our API tokens; only its hash is kept."""

    id = TextField(primary_key=True)
    name = TextField()
    hash = TextField()
    scopes = TextField()
    created_at = BigIntegerField()
    expires_at = BigIntegerField(null=True)
    revoked_at = BigIntegerField(null=True)
    used_at = BigIntegerField(null=True)


class Broadcast(Base):
    """One accepted request: facts, no state. `public_id` is what callers know it by.

    `face` is the API it came through, `face_data` what that API wants to find again (JSON).
    """

    id = AutoField()
    public_id = TextField()
    channel_id = IntegerField()
    token_id = TextField(null=True)
    title = TextField(null=True)
    template_name = TextField()
    template_language = TextField()
    priority = IntegerField()
    metadata = TextField(null=True)
    duplicates = IntegerField()
    scheduled = BooleanField()
    created_at = BigIntegerField()
    due_at = BigIntegerField()
    started_at = BigIntegerField(null=True)
    paused_at = BigIntegerField(null=True)
    pause_reason = cast("TextField[PauseReason | None]", TextField(null=True))
    pause_detail = TextField(null=True)
    stopped_at = BigIntegerField(null=True)
    stopped_cancelled = IntegerField(null=True)
    stopped_in_flight = IntegerField(null=True)
    finished_at = BigIntegerField(null=True)
    face = TextField()
    face_data = TextField(null=True)
    task_id = TextField(null=True)
    action_key = cast("TextField[ActionKey | None]", TextField(null=True))
    action_value = TextField(null=True)
    on_unknown = cast("TextField[OnUnknown]", TextField())
    expire_at = BigIntegerField(null=True)
    forgotten_at = BigIntegerField(null=True)


class Message(Base):
    """One template for one person. `content` is Graph's template object, ready to send.

    `attempt` numbers claims, never goes back, and leaves one out when a failure is retried; `tries`
    counts those that used up one of the five attempts. `next_at` is when it may be claimed.
    """

    id = AutoField()
    broadcast_id = IntegerField()
    recipient = TextField()
    content = TextField()
    variables = TextField(null=True)
    metadata = TextField(null=True)
    state = cast("TextField[MessageState]", TextField())
    delivery = cast("TextField[Delivery | None]", TextField(null=True))
    attempt = IntegerField()
    tries = IntegerField()
    next_at = BigIntegerField()
    claimed_at = BigIntegerField(null=True)
    settled_at = BigIntegerField(null=True)
    sent_at = BigIntegerField(null=True)
    wamid = TextField(null=True)
    error_code = TextField(null=True)
    error_text = TextField(null=True)
    delivered_at = BigIntegerField(null=True)
    read_at = BigIntegerField(null=True)
    undelivered_at = BigIntegerField(null=True)
    resent = BooleanField(default=False)
    pricing = TextField(null=True)


class Contact(Base):
    """One person. `recipient` is the name they were first known by, `name` what they call themselves.

    `word_at` is Meta's time of the newest word on marketing (epoch milliseconds); `erased_at` is set where
    the row stays only for an opt-out or the allowance.
    """

    id = AutoField()
    recipient = TextField()
    name = TextField(null=True)
    created_at = BigIntegerField()
    word_at = BigIntegerField(null=True)
    erased_at = BigIntegerField(null=True)


class ContactName(Base):
    """A number in one spelling, or a user id, and the one contact it means.

    `portfolio` is the one a user id is of, where Meta told: several portfolios give one person several.
    """

    name = TextField(primary_key=True)
    contact_id = IntegerField()
    portfolio = TextField(null=True)


class Forwarded(Base):
    """An id of a contact or conversation that a merge took away, and the id it has now."""

    old = TextField(primary_key=True)
    now = TextField()


class Conversation(Base):
    """A channel and a contact between whom a message went, and whom it is assigned to."""

    id = AutoField()
    contact_id = IntegerField()
    channel_id = IntegerField()
    created_at = BigIntegerField()
    last_sent_at = BigIntegerField()
    assigned_key = cast("TextField[ActionKey | None]", TextField(null=True))
    assigned_to = TextField(null=True)
    assigned_at = BigIntegerField(null=True)
    last_message_id = BigIntegerField(null=True)


class Event(Base):
    """An event for webhooks, stored with the change it tells of; `data` is JSON."""

    id = AutoField()
    type = TextField()
    created_at = BigIntegerField()
    data = TextField()


class PackedField(TextField):
    """A text that is stored packed; conditions of a query cannot look into it."""

    def db_value(self, value: str) -> bytes:
        return packing.pack(value)

    def python_value(self, value: bytes | str) -> str:
        return packing.unpack(value)


class Callback(Base):
    """One POST of Meta's as it came; `understood` unless it had to be put aside."""

    id = AutoField()
    received_at = BigIntegerField()
    body = PackedField()
    understood = BooleanField(default=True)


class EarlyReceipt(Base):
    """A receipt that came before the answer that told us its message's wamid; JSON."""

    id = AutoField()
    wamid = TextField()
    receipt = TextField()
    received_at = BigIntegerField()


class Suppression(Base):
    """A person who wants no marketing messages, and how we know; `recipient` as the contact has it."""

    contact_id = IntegerField(primary_key=True)
    recipient = TextField()
    reason = TextField()
    source = TextField()
    created_at = BigIntegerField()


class Webhook(Base):
    """An address that is told of events; secrets are encrypted, `types` are separated by blanks."""

    id = AutoField()
    url = TextField()
    types = TextField()
    secret = TextField()
    old_secret = TextField(null=True)
    old_secret_until = BigIntegerField(null=True)
    created_at = BigIntegerField()
    disabled_at = BigIntegerField(null=True)
    disabled_reason = TextField(null=True)
    failing_since = BigIntegerField(null=True)


class EventDelivery(Base):
    """One event on its way to one webhook."""

    id = AutoField()
    webhook_id = IntegerField()
    event_id = IntegerField()
    state = cast("TextField[WebhookDeliveryState]", TextField())
    attempts = IntegerField()
    next_at = BigIntegerField()
    tried_at = BigIntegerField(null=True)
    answer = TextField(null=True)


class Reached(Base):
    """When a portfolio last reached a person, or a message in flight reserved that it may."""

    contact_id = IntegerField()
    portfolio = TextField()
    at = BigIntegerField()
    reserved_by = IntegerField(null=True)

    class Meta:
        primary_key = CompositeKey("contact_id", "portfolio")


class Lease(Base):
    """Which worker sends for a channel, until when, at which pace, and what keeps it from sending."""

    channel_id = IntegerField(primary_key=True)
    owner = TextField()
    expires_at = BigIntegerField()
    claimed_at = BigIntegerField()
    pace = FloatField()
    trouble = TextField(null=True)


class Worker(Base):
    """A worker process and when it last showed itself."""

    id = TextField(primary_key=True)
    host = TextField()
    pid = IntegerField()
    started_at = BigIntegerField()
    seen_at = BigIntegerField()


class Idempotency(Base):
    """The first answer given under a caller's Idempotency-Key."""

    token_id = TextField()
    key = TextField()
    fingerprint = TextField()
    broadcast_id = IntegerField()
    answer = TextField()
    created_at = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("token_id", "key")


class EndedSession(Base):
    """A session of the dashboard that was signed out of, until its cookie ends."""

    mark = TextField(primary_key=True)
    until = BigIntegerField()

    class Meta:
        table_name = "ended_session"


class Tally(Base):
    """How many of something there ever were: of which channel, if any, and of which kind."""

    name = cast("TextField[TallyName]", TextField())
    about = TextField()
    word = TextField()
    total = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("name", "about", "word")


ALL = (
    Installation, Channel, Template, Token, Broadcast, Message, Contact, ContactName, Forwarded, Conversation,
    Event, Callback, EarlyReceipt, Suppression, Webhook, EventDelivery, Reached, Lease, Worker, Idempotency,
    EndedSession, Tally,
)  # fmt: skip
