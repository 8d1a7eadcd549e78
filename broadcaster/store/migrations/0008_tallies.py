"""Totals for /metrics that only grow, whatever is erased or sent again."""

TABLE = """CREATE TABLE tally (
    name TEXT{collation} NOT NULL,
    about TEXT{collation} NOT NULL,
    word TEXT{collation} NOT NULL,
    total BIGINT NOT NULL CHECK (total >= 0),
    PRIMARY KEY (name, about, word)
){without_rowid}"""


def up(migrator, db):
    is_sqlite = type(migrator).__name__ == "SqliteMigrator"
    collation, without_rowid = ("", " WITHOUT ROWID") if is_sqlite else (' COLLATE "C"', "")
    db.execute_sql(TABLE.format(collation=collation, without_rowid=without_rowid))
