"""A migrated database, made once and copied for each test."""

import shutil
from pathlib import Path

from broadcaster.store import database, models


def make_database(path: Path) -> Path:
    """Write an empty database with today's schema to a file, and close it."""
    database.migrate(database.open(f"sqlite:///{path}"))
    leave_database()
    return path


def leave_database() -> None:
    """Close the database of a test, and forget it: who opens none has none, in any order."""
    database.close()
    models.database.initialize(None)


def copy_database(made: Path, url: str) -> None:
    """Put a copy of a closed database where a database URL says."""
    target = Path(url.partition(":///")[2])
    target.parent.mkdir(mode=0o700, parents=True)
    shutil.copy(made, target)
