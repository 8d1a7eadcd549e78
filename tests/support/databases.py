"""A migrated database, made once and copied for each test."""

import shutil
from pathlib import Path

from broadcaster.store import database


def make_database(path: Path) -> Path:
    """Write an empty database with today's schema to a file, and close it."""
    database.migrate(database.open(f"sqlite:///{path}"))
    database.close()
    return path


def copy_database(made: Path, url: str) -> None:
    """Put a copy of a closed database where a database URL says."""
    target = Path(url.partition(":///")[2])
    target.parent.mkdir(mode=0o700, parents=True)
    shutil.copy(made, target)
