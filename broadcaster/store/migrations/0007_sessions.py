"""Sessions of the dashboard that were signed out of before their time."""


def up(migrator, db):
    db.execute_sql("CREATE TABLE ended_session (mark TEXT PRIMARY KEY, until BIGINT NOT NULL)")
