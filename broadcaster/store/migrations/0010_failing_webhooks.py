"""Since when a webhook takes nothing; what is due to one is found without reading what is due to others."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE webhook ADD COLUMN failing_since BIGINT")
    db.execute_sql("DROP INDEX event_delivery_due")
    db.execute_sql(
        "CREATE INDEX event_delivery_due ON event_delivery (webhook_id, next_at) WHERE state = 'pending'"
    )
