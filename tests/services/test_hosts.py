"""Several hosts at one database: the same key, the same clock, and a server that somebody else keeps."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from peewee import fn

from broadcaster import clock, config
from broadcaster.errors import Misconfigured
from broadcaster.services import doctor, upkeep
from broadcaster.services.start_up import open_installation
from broadcaster.store import database, leases
from broadcaster.store.models import Broadcast, Message
from broadcaster.worker.schedule import Schedule
from tests.support.broadcasts import accepted
from tests.support.databases import leave_database
from tests.support.samples import NOW

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))


def start(settings: config.Settings, folder: Path, **changes: Any) -> Any:
    """A host with a data directory of its own starts at the same database; gives its vault."""
    here = settings.model_copy(
        update={"data_dir": folder, "database_url": settings.database, "secret_key": None, **changes}
    )
    try:
        return open_installation(here)[1]
    finally:
        leave_database()


def test_hosts_with_one_key_read_each_others_secrets_also_while_it_rotates(
    settings: config.Settings, tmp_path: Path
) -> None:
    locked = start(settings, tmp_path / "data", secret_key=OLD).lock("EAAG")
    assert start(settings, tmp_path / "b", secret_key=OLD).unlock(locked) == "EAAG"
    assert start(settings, tmp_path / "b", secret_key=f"{NEW}, {OLD}").unlock(locked) == "EAAG"
    assert start(settings, tmp_path / "data", secret_key=f"{NEW},{OLD}").unlock(locked) == "EAAG"


@pytest.mark.parametrize("key", [OTHER, None], ids=["another", "none"])
def test_a_host_with_another_key_or_none_does_not_start(
    settings: config.Settings, tmp_path: Path, key: str | None
) -> None:
    start(settings, tmp_path / "data", secret_key=OLD)
    with pytest.raises(Misconfigured, match="another key"):
        start(settings, tmp_path / "b", secret_key=key)


def test_what_is_no_key_is_refused(settings: config.Settings, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="BROADCASTER_SECRET_KEY"):
        start(settings, tmp_path / "data", secret_key="not a key")


@pytest.mark.postgres
def test_a_host_counts_as_the_databases_clock_does(
    settings: config.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = clock.time.time
    with monkeypatch.context() as patched:
        patched.setattr(clock.time, "time", lambda: really() + 15)
        start(settings, tmp_path / "data")
        assert abs(clock.epoch_ms() - really() * 1000) < 1000
    clock.follow(0)


@pytest.mark.postgres
def test_doctor_looks_at_the_server(settings: config.Settings, db: Any, client: Any) -> None:
    found = {one.name: one for one in doctor.examine(settings, client.vault, Schedule(db), NOW)}
    assert found["PostgreSQL"].result == doctor.OK
    # The tests' own server forgets at a power loss.
    assert found["fsync"].result == doctor.WARN
    assert "sent twice" in (found["fsync"].remedy or "")
    assert found["encoding"].seen == "UTF8"
    assert "postgres@" not in found["BROADCASTER_DATABASE_URL"].seen


@pytest.mark.postgres
def test_what_a_restored_server_holds_is_paused_once_nobody_works(
    settings: config.Settings, db: Any, channel_row: Any
) -> None:
    settings.secret_key = OLD
    row = accepted(channel_row, 3)
    with database.transaction():
        leases.beat("w", "host", 1, NOW)
    with pytest.raises(Misconfigured, match="a worker runs"):
        upkeep.calm(settings, NOW + 1000)
    assert upkeep.calm(settings, NOW + 60_000) == 1
    assert Broadcast.get_by_id(row.id).paused_at is not None
    newest = Message.select(fn.MAX(Message.id)).scalar()
    later = accepted(channel_row, 1, public_id="later")
    assert Message.get(Message.broadcast_id == later.id).id > newest + 999_999


@pytest.mark.sqlite
def test_a_file_is_calmed_by_its_restore(settings: config.Settings, db: Any) -> None:
    with pytest.raises(Misconfigured, match="restore FILE"):
        upkeep.calm(settings, NOW)


@pytest.mark.postgres
def test_backups_are_the_servers(settings: config.Settings, db: Any, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="pg_dump"):
        upkeep.backup(tmp_path / "copy.db")
    with pytest.raises(Misconfigured, match="pg_dump"):
        upkeep.restore(tmp_path / "copy.db", settings, NOW)
    assert database.version().split(".")[0].isdecimal()
