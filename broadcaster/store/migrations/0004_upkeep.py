"""What was put aside unread, and indexes for forgetting what is old."""

STATEMENTS = (
    "ALTER TABLE callback ADD COLUMN understood BOOLEAN NOT NULL DEFAULT TRUE",
    "CREATE INDEX event_created ON event (created_at)",
    "CREATE INDEX early_receipt_received ON early_receipt (received_at)",
)


def up(migrator, db):
    for statement in STATEMENTS:
        db.execute_sql(statement)
