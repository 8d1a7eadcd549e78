"""The dashboard's password."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE installation ADD COLUMN dashboard_password TEXT")
