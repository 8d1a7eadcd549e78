"""Which message reserved the allowance for a person, until it is known whether it reached them."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE reached ADD COLUMN reserved_by BIGINT")
    db.execute_sql("CREATE INDEX reached_reserved ON reached (reserved_by) WHERE reserved_by IS NOT NULL")
