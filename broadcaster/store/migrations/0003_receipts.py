"""What Meta says back, and what an operator may do about it: receipts, pauses of a channel,
suppressions, outgoing events."""

STATEMENTS = (
    "ALTER TABLE broadcast ADD COLUMN on_unknown TEXT NOT NULL DEFAULT 'fail'",
    "ALTER TABLE broadcast ADD COLUMN expire_at BIGINT",
    "ALTER TABLE message ADD COLUMN resent BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE message ADD COLUMN pricing TEXT",
    "ALTER TABLE channel ADD COLUMN paused_at BIGINT",
    "ALTER TABLE channel ADD COLUMN pause_reason TEXT",
    "ALTER TABLE channel ADD COLUMN pause_detail TEXT",
    "ALTER TABLE contact ADD COLUMN wa_id TEXT",
    "CREATE INDEX contact_wa_id ON contact (wa_id) WHERE wa_id IS NOT NULL",
    # Raw callbacks as they came, for 30 days.
    """CREATE TABLE callback (
        id {serial},
        received_at BIGINT NOT NULL,
        body TEXT NOT NULL
    )""",
    "CREATE INDEX callback_received ON callback (received_at)",
    # Receipts that name a message by Meta's id alone and came before the answer that told us the id.
    """CREATE TABLE early_receipt (
        id {serial},
        wamid TEXT NOT NULL,
        receipt TEXT NOT NULL,
        received_at BIGINT NOT NULL
    )""",
    "CREATE INDEX early_receipt_wamid ON early_receipt (wamid)",
    """CREATE TABLE suppression (
        recipient TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        source TEXT NOT NULL,
        created_at BIGINT NOT NULL
    )""",
    """CREATE TABLE webhook (
        id {serial},
        url TEXT NOT NULL,
        types TEXT NOT NULL,
        secret TEXT NOT NULL,
        old_secret TEXT,
        old_secret_until BIGINT,
        created_at BIGINT NOT NULL,
        disabled_at BIGINT,
        disabled_reason TEXT
    )""",
    """CREATE TABLE event_delivery (
        id {serial},
        webhook_id INTEGER NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
        event_id INTEGER NOT NULL REFERENCES event (id) ON DELETE CASCADE,
        state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
        attempts INTEGER NOT NULL,
        next_at BIGINT NOT NULL,
        tried_at BIGINT,
        answer TEXT
    )""",
    # What is to be told now.
    "CREATE INDEX event_delivery_due ON event_delivery (next_at) WHERE state = 'pending'",
    # The log of one webhook, newest first.
    "CREATE INDEX event_delivery_log ON event_delivery (webhook_id, id)",
    "CREATE INDEX event_delivery_event ON event_delivery (event_id)",
    # How long ago the last receipts of a channel's messages came: whether silence means something.
    "CREATE INDEX message_delivered ON message (broadcast_id, claimed_at) WHERE delivery IS NOT NULL",
)

# Ids of the deleted must not come back: callers keep them.
SERIAL = {
    "SqliteMigrator": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "PostgresqlMigrator": "BIGSERIAL PRIMARY KEY",
}


def up(migrator, db):
    for statement in STATEMENTS:
        db.execute_sql(statement.format(serial=SERIAL[type(migrator).__name__]))
