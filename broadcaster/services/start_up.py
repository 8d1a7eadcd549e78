"""Start-up: opens an installation's database, brings its schema up to date, and opens its vault."""

import os
import time

from peewee import Database

from broadcaster.config import Settings
from broadcaster.errors import Misconfigured
from broadcaster.store import channels, database
from broadcaster.vault import Vault, open_vault


def open_installation(settings: Settings) -> tuple[Database, Vault]:
    """The database, migrated, and the vault of an installation; raises Misconfigured."""
    # huey's times are naive underneath: in another zone a task of a lost hour would ring late.
    os.environ["TZ"] = "UTC"
    time.tzset()
    os.umask(0o077)
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(
            f"the data directory {settings.data_dir} cannot be made: {error.strerror}"
        ) from None
    opened = database.open(settings.database)
    database.migrate(opened)
    channels.assume_tier(settings.default_tier)
    return opened, open_vault(settings.data_dir)
