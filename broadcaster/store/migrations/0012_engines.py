"""Huey's tables, which it made itself before; and what PostgreSQL stores and keeps in another way."""

HUEY = (
    "CREATE TABLE IF NOT EXISTS counter (queue VARCHAR(255) NOT NULL, key VARCHAR(255) NOT NULL,"
    " value INTEGER NOT NULL, PRIMARY KEY (queue, key))",
    "CREATE TABLE IF NOT EXISTS kv (queue VARCHAR(255) NOT NULL, key VARCHAR(255) NOT NULL,"
    " value {blob} NOT NULL, PRIMARY KEY (queue, key))",
    "CREATE TABLE IF NOT EXISTS schedule (id {serial}, queue VARCHAR(255) NOT NULL, data {blob} NOT NULL,"
    " timestamp BIGINT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS schedule_queue_timestamp ON schedule (queue, timestamp)",
    "CREATE TABLE IF NOT EXISTS task (id {serial}, queue VARCHAR(255) NOT NULL, data {blob} NOT NULL,"
    " priority REAL NOT NULL)",
    "CREATE INDEX IF NOT EXISTS task_priority_id ON task (priority DESC, id)",
)
POSTGRES = (
    # Packed callbacks are bytes.
    "ALTER TABLE callback ALTER COLUMN body TYPE BYTEA USING convert_to(body, 'UTF8')",
    # No update of a message is done in place: state stands in three indexes.
    "ALTER TABLE message SET (autovacuum_vacuum_scale_factor = 0.02,"
    " autovacuum_vacuum_insert_scale_factor = 0.02)",
)


def up(migrator, db):
    is_sqlite = type(migrator).__name__ == "SqliteMigrator"
    serial, blob = ("INTEGER PRIMARY KEY", "BLOB") if is_sqlite else ("BIGSERIAL PRIMARY KEY", "BYTEA")
    for statement in HUEY:
        db.execute_sql(statement.format(serial=serial, blob=blob))
    for statement in () if is_sqlite else POSTGRES:
        db.execute_sql(statement)
    db.execute_sql("ALTER TABLE installation ADD COLUMN key_mark TEXT")
