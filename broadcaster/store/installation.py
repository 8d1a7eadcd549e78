"""The installation itself: what there is once."""

from broadcaster.models import Installation
from broadcaster.store import database


def password() -> str | None:
    """What is stored of the dashboard's password."""
    stored: str | None = Installation.get_by_id(1).dashboard_password
    return stored


def keep_password(stretched: str) -> None:
    with database.transaction():
        Installation.update(dashboard_password=stretched).where(Installation.id == 1).execute()
