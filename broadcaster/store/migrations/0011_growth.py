"""What a large table must not slow: ended broadcasts are found by when they ended, and forgotten once."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE broadcast ADD COLUMN forgotten_at BIGINT")
    db.execute_sql("CREATE INDEX broadcast_ended ON broadcast (finished_at) WHERE finished_at IS NOT NULL")
