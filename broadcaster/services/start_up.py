"""Start-up: opens an installation's database, brings its schema up to date, and opens its vault."""

import os
import stat
import time
from pathlib import Path

from peewee import Database

from broadcaster import clock, log
from broadcaster.config import Settings
from broadcaster.errors import Misconfigured
from broadcaster.store import channels, database, installation, webhooks
from broadcaster.vault import KEY_FILE, Vault, open_vault

_WRITTEN_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

logger = log.get(__name__)


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
    _close_to_others(settings.data_dir)
    opened = database.open(settings.database)
    database.migrate(opened)
    clock.follow(database.ahead())
    channels.assume_tier(settings.default_tier)
    if not settings.secret_key:
        _check_key(settings.data_dir)
    vault = open_vault(settings.data_dir, settings.secret_key)
    _check_mark(vault)
    return opened, vault


def _check_mark(vault: Vault) -> None:
    """Raise Misconfigured where the database was written with another key: several hosts need the same."""
    with database.transaction():
        database.lock_name("key")
        known = installation.key_mark()
        if known == vault.marks[0]:
            return
        if known is not None and known not in vault.marks and not vault.was_emptied:
            raise Misconfigured(
                "the secrets in this database were encrypted with another key: give all hosts the same, by"
                f" BROADCASTER_SECRET_KEY or by the content of {KEY_FILE}"
            )
        installation.note_key_mark(vault.marks[0])


def _close_to_others(folder: Path) -> None:
    """Take from others the right to write to a folder: whoever can, can put another key or database there."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & _WRITTEN_BY_OTHERS:
        return
    try:
        folder.chmod(mode & ~_WRITTEN_BY_OTHERS)
    except OSError as error:
        raise Misconfigured(
            f"others can write to the data directory {folder}, which cannot be closed: {error.strerror}"
        ) from None
    logger.warning("others could write to the data directory; now they cannot", folder=str(folder))


def _check_key(folder: Path) -> None:
    """Raise Misconfigured where the key file is gone that stored secrets were encrypted with."""
    path = folder / KEY_FILE
    count = len(channels.all_channels()) + len(webhooks.all_webhooks())
    if count and not path.exists():
        raise Misconfigured(
            f"{path} is missing, and {count} channels and webhooks have secrets that only its key opens."
            f" Put the file back from where you keep it. If it is lost: `touch {path}`, then for each"
            " channel `broadcaster channel sync ID --access-token -`, and add the webhooks anew"
        )
