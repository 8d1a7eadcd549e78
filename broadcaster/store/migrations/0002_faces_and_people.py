"""What the vendors' languages ask for: whose request it was, people and conversations, times of receipts."""

STATEMENTS = (
    "ALTER TABLE broadcast ADD COLUMN face TEXT NOT NULL DEFAULT 'own'",
    "ALTER TABLE broadcast ADD COLUMN face_data TEXT",
    "ALTER TABLE broadcast ADD COLUMN task_id TEXT",
    "ALTER TABLE broadcast ADD COLUMN action_key TEXT",
    "ALTER TABLE broadcast ADD COLUMN action_value TEXT",
    "ALTER TABLE message ADD COLUMN delivered_at BIGINT",
    "ALTER TABLE message ADD COLUMN read_at BIGINT",
    "ALTER TABLE message ADD COLUMN undelivered_at BIGINT",
    # A face's own broadcasts, newest first.
    "CREATE INDEX broadcast_face ON broadcast (face, id)",
    """CREATE TABLE contact (
        id {serial},
        recipient TEXT NOT NULL UNIQUE,
        name TEXT,
        created_at BIGINT NOT NULL
    )""",
    """CREATE TABLE conversation (
        id {serial},
        contact_id INTEGER NOT NULL REFERENCES contact (id),
        channel_id INTEGER NOT NULL REFERENCES channel (id),
        created_at BIGINT NOT NULL,
        last_sent_at BIGINT NOT NULL,
        assigned_key TEXT CHECK (assigned_key IN ('assign-to-user', 'assign-to-workgroup')),
        assigned_to TEXT,
        assigned_at BIGINT,
        CHECK ((assigned_key IS NULL) = (assigned_to IS NULL)),
        CHECK ((assigned_key IS NULL) = (assigned_at IS NULL)),
        UNIQUE (contact_id, channel_id)
    )""",
    # Who is assigned what.
    "CREATE INDEX conversation_assigned ON conversation (assigned_to, id) WHERE assigned_to IS NOT NULL",
    """CREATE TABLE event (
        id {serial},
        type TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        data TEXT NOT NULL
    )""",
    # People of messages accepted by the release before: what is still to leave needs them.
    """INSERT INTO contact (recipient, created_at)
        SELECT recipient, MIN(broadcast.created_at) FROM message
        JOIN broadcast ON broadcast.id = message.broadcast_id
        WHERE message.error_code IS NULL OR message.error_code <> 'INVALID_RECIPIENT'
        GROUP BY recipient""",
)

# Ids of the deleted must not come back: callers keep them.
SERIAL = {
    "SqliteMigrator": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "PostgresqlMigrator": "BIGSERIAL PRIMARY KEY",
}


def up(migrator, db):
    for statement in STATEMENTS:
        db.execute_sql(statement.format(serial=SERIAL[type(migrator).__name__]))
