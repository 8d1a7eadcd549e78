import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from broadcaster import log, vault
from broadcaster.config import Settings
from broadcaster.errors import Misconfigured
from broadcaster.services import start_up
from broadcaster.store import database
from broadcaster.store.models import Channel


def test_what_was_locked_is_unlocked_after_a_restart(tmp_path: Path) -> None:
    locked = vault.open_vault(tmp_path).lock("EAAG-token")
    assert "EAAG" not in locked
    assert vault.open_vault(tmp_path).unlock(locked) == "EAAG-token"


def test_the_key_file_is_ours_alone(tmp_path: Path) -> None:
    vault.open_vault(tmp_path)
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_an_older_key_on_a_later_line_still_reads(tmp_path: Path) -> None:
    locked = vault.open_vault(tmp_path).lock("x")
    path = tmp_path / "secret.key"
    path.write_text(Fernet.generate_key().decode() + "\n" + path.read_text())
    assert vault.open_vault(tmp_path).unlock(locked) == "x"


def test_a_lost_key_is_told_in_a_sentence(tmp_path: Path) -> None:
    locked = vault.open_vault(tmp_path).lock("x")
    (tmp_path / "secret.key").unlink()
    with pytest.raises(Misconfigured, match=r"secret\.key"):
        vault.open_vault(tmp_path).unlock(locked)


def test_a_token_carries_its_id_under_any_prefix() -> None:
    token, token_id = vault.new_token("kbai_pk")
    assert token.startswith("kbai_pk_")
    assert vault.token_id(token) == token_id


@pytest.mark.parametrize("text", ["", "x", "bc_short", "bc_" + "ä" * 44, "bc_" + "a" * 45])
def test_what_is_no_token_has_no_id(text: str) -> None:
    assert vault.token_id(text) is None or not text.isascii()


def test_numbers_are_masked_in_logs() -> None:
    event = log.mask(None, "info", {"event": "to +905554443301 failed", "id": 905554443301})
    assert event == {"event": "to +905*******01 failed", "id": 905554443301}


def test_the_access_token_is_stored_encrypted(channel_row: Channel, tmp_path: Path) -> None:
    locked = vault.open_vault(tmp_path).lock("EAAG-secret")
    Channel.update(access_token=locked).execute()
    assert "EAAG-secret" not in Channel.get().access_token


def test_without_its_key_an_installation_with_secrets_does_not_start(
    settings: Settings, channel_row: Channel
) -> None:
    database.close()
    key = settings.data_dir / "secret.key"
    with pytest.raises(Misconfigured, match=r"secret\.key is missing.*channel sync"):
        start_up.open_installation(settings)
    assert not key.exists()
    key.touch()
    start_up.open_installation(settings)
    assert len(key.read_text().strip()) == 44
    database.close()


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o702])
def test_a_data_directory_is_closed_to_others(settings: Settings, db: Any, mode: int) -> None:
    database.close()
    settings.data_dir.chmod(mode)
    start_up.open_installation(settings)
    assert stat.S_IMODE(settings.data_dir.stat().st_mode) == mode & 0o755
    database.close()
