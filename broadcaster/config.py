"""Settings: BROADCASTER_* from the environment and `.env`, secrets also from files."""

import difflib
import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from broadcaster.domain import pacing, phone
from broadcaster.errors import Misconfigured

PREFIX = "BROADCASTER_"
_SECRET_WORDS = ("secret", "token", "password", "key")


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Listed = Annotated[list[str], NoDecode, BeforeValidator(_split)]
"""Texts parted by commas."""


def _tier(value: str) -> str:
    pacing.tier_size(value)
    return value


def _networks(value: list[str]) -> list[str]:
    for network in value:
        ipaddress.ip_network(network, strict=False)
    return value


def _base_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value.rstrip("/")


def _database_url(value: str | None) -> str | None:
    if value and not value.startswith(("sqlite:///", "sqlite+stdlib:///", "postgresql://")):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return value


def _country(value: str | None) -> str | None:
    return None if value is None else phone.country(value)


class Settings(BaseSettings):
    """One installation's settings; the README's table is their documentation."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    data_dir: Path = Path("data")
    database_url: Annotated[str | None, AfterValidator(_database_url)] = None
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    graph_url: Annotated[str, AfterValidator(_base_url)] = "https://graph.facebook.com"
    graph_version: str = Field("v25.0", pattern=r"^v\d+\.\d+$")
    app_secret: str | None = None
    verify_token: str | None = None
    secret_key: str | None = None
    public_url: str | None = None
    default_tier: Annotated[str, AfterValidator(_tier)] = "TIER_250"
    default_country: Annotated[str | None, AfterValidator(_country)] = None
    unknown_window: int = Field(900, ge=1, description="seconds")
    stop_words: Listed = ["STOP", "UNSUBSCRIBE", "BAJA", "PARAR", "IPTAL"]
    event_targets: Annotated[Listed, AfterValidator(_networks)] = []
    trusted_proxies: Annotated[Listed, AfterValidator(_networks)] = []
    retention_days: int = Field(90, ge=1)
    log_level: str = Field("INFO", pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")

    @property
    def database(self) -> str:
        """Where the data is, as a URL."""
        return self.database_url or f"sqlite:///{self.data_dir / 'broadcaster.db'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # load() has gathered environment, .env and files into one place already.
        return (init_settings,)


def is_secret(field: str) -> bool:
    """Whether the value of a setting is never shown, going by the setting's name."""
    return any(word in field for word in _SECRET_WORDS)


def load(environ: Mapping[str, str] | None = None, dotenv: Path | None = None) -> Settings:
    """The settings of this process; raises Misconfigured naming every fault at once."""
    environ = os.environ if environ is None else environ
    faults: list[str] = []
    given: dict[str, Any] = {**_gather({**_dotenv(dotenv or Path(".env")), **environ}, faults)}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        faults += [_sentence(fault["loc"], fault["msg"], fault["input"]) for fault in error.errors()]
    if faults:
        raise Misconfigured("; ".join(faults))
    return settings


def _gather(environ: Mapping[str, str], faults: list[str]) -> dict[str, str]:
    fields: dict[str, Any] = Settings.model_fields
    given: dict[str, str] = {}
    for variable, value in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in fields:
            if value != "":
                given[name] = value
        elif name.removesuffix("_file") in fields and name.endswith("_file"):
            _read_file(variable, name.removesuffix("_file"), value, environ, given, faults)
        else:
            faults.append(_unknown(variable, fields))
    return given


def _read_file(
    variable: str, name: str, path: str, environ: Mapping[str, str], given: dict[str, str], faults: list[str]
) -> None:
    if environ.get(PREFIX + name.upper()):
        faults.append(f"{variable} and {PREFIX}{name.upper()} are both set: keep one")
        return
    try:
        given[name] = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        faults.append(f"{variable} names {path}, which cannot be read: {reason}")


def _unknown(variable: str, fields: Mapping[str, Any]) -> str:
    names = [PREFIX + field.upper() for field in fields]
    near = difflib.get_close_matches(variable, names, n=1)
    return f"{variable} is not a setting" + (f": did you mean {near[0]}?" if near else "")


def _sentence(location: tuple[int | str, ...], message: str, value: Any) -> str:
    name = str(location[0])
    shown = "" if is_secret(name) else f", got {value!r}"
    message = message.removeprefix("Value error, ")
    return f"{PREFIX}{name.upper()}: {message[0].lower()}{message[1:]}{shown}"


def _dotenv(path: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv_values(path).items() if value is not None}
