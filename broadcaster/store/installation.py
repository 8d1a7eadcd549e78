"""Installation: its key and its dashboard password, in a table of one row."""

from broadcaster.store import database, models
from broadcaster.store.models import Installation


def password() -> str | None:
    """What is stored of the dashboard's password."""
    stored: str | None = Installation.get_by_id(1).dashboard_password
    return stored


def keep_password(stretched: str) -> None:
    with database.transaction():
        Installation.update(dashboard_password=stretched).where(Installation.id == 1).execute()


def key() -> str:
    """Eight hex digits that name this installation in callback data."""
    # Read for every batch of receipts: building the query costs more than running it.
    return str(models.database.obj.execute_sql("SELECT key FROM installation WHERE id = 1").fetchone()[0])


def key_mark() -> str | None:
    """By which the key is recognised that secrets here are encrypted with."""
    mark: str | None = Installation.get().key_mark
    return mark


def note_key_mark(mark: str) -> None:
    Installation.update(key_mark=mark).execute()
