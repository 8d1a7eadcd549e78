from pathlib import Path

import pytest

from broadcaster import config
from broadcaster.errors import Misconfigured
from broadcaster.store import sqlite


def load(tmp_path: Path, **environ: str) -> config.Settings:
    return config.load({"BROADCASTER_" + name: value for name, value in environ.items()}, tmp_path / ".env")


def test_the_defaults_are_the_contract(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.host, settings.port, settings.graph_version) == ("127.0.0.1", 8080, "v25.0")
    assert settings.database == "sqlite:///data/broadcaster.db"
    assert (settings.default_tier, settings.unknown_window, settings.retention_days) == ("TIER_250", 900, 90)
    assert settings.stop_words == ["STOP", "UNSUBSCRIBE", "BAJA", "PARAR", "IPTAL"]


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(
            tmp_path,
            PROT="1",
            PORT="no",
            DEFAULT_TIER="TIER_X",
            GRAPH_URL="graph",
            APP_SECRET_FILE="/nowhere/x",
        )
    text = str(caught.value)
    for part in ("did you mean BROADCASTER_PORT", "BROADCASTER_PORT:", "TIER_X", "GRAPH_URL", "/nowhere/x"):
        assert part in text


def test_secrets_do_not_appear_in_complaints(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured) as caught:
        load(tmp_path, APP_SECRET_FILE=str(secret), PORT="x")
    assert "\xff" not in str(caught.value)


def test_a_value_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush\n")
    assert load(tmp_path, APP_SECRET_FILE=str(tmp_path / "secret")).app_secret == "hush"


def test_a_list_is_parted_by_commas(tmp_path: Path) -> None:
    settings = load(tmp_path, STOP_WORDS="STOP, NO THANKS,", EVENT_TARGETS="10.0.0.0/8,127.0.0.1/32")
    assert settings.stop_words == ["STOP", "NO THANKS"]
    assert settings.event_targets == ["10.0.0.0/8", "127.0.0.1/32"]


def test_a_value_and_its_file_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="both set"):
        load(tmp_path, APP_SECRET="a", APP_SECRET_FILE="b")


def test_dotenv_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BROADCASTER_PORT=9001\nBROADCASTER_HOST=::1\nOTHER=x\n")
    settings = load(tmp_path, PORT="9002")
    assert (settings.host, settings.port) == ("::1", 9002)


def test_a_typo_in_dotenv_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BROADCASTER_DATADIR=x\n")
    with pytest.raises(Misconfigured, match="BROADCASTER_DATA_DIR"):
        load(tmp_path)


def test_an_empty_value_means_the_default(tmp_path: Path) -> None:
    assert load(tmp_path, PORT="").port == 8080


def test_other_databases_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="sqlite:///"):
        load(tmp_path, DATABASE_URL="mysql://x")


@pytest.mark.parametrize("engine", sqlite.DRIVERS)
def test_every_engine_that_has_a_driver_is_accepted(tmp_path: Path, engine: str) -> None:
    assert load(tmp_path, DATABASE_URL=f"{engine}:///x.db").database == f"{engine}:///x.db"


@pytest.mark.parametrize("field", config.Settings.model_fields)
def test_what_is_secret_is_known_by_its_name(field: str) -> None:
    assert config.is_secret(field) == (field in ("app_secret", "verify_token", "secret_key"))
    assert config.is_secret(f"{field}_password")
