"""One owner for each third-party package; the floors themselves are import-linter's, in setup.cfg."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "broadcaster"

OWNERS: dict[str, set[str]] = {
    "aiohappyeyeballs": {"meta/send_client"},
    "aiohttp": {"sandbox"},
    "click": {"cli"},
    "cryptography": {"vault"},
    "cysqlite": {"store"},
    "dotenv": {"config"},
    "falcon": {"web"},
    "httptools": {"meta/send_client"},
    "huey": {"worker"},
    "itsdangerous": {"web/dashboard"},
    "jinja2": {"web/dashboard"},
    "markupsafe": {"web/dashboard"},
    "orjson": {"domain/strict_json"},
    "peewee": {"store", "worker/schedule", "services/start_up", "services/upkeep"},
    "phonenumbers": {"domain/phone"},
    "playhouse": {"store"},
    "prometheus_client": {"web/metrics"},
    "psycopg": {"store/postgres"},
    "pydantic": {"config", "web"},
    "pydantic_core": {"web"},
    "pydantic_settings": {"config"},
    "requests": {"outbound", "sandbox/testbed"},
    "rich": {"cli"},
    "standardwebhooks": {"worker/webhook_delivery"},
    "structlog": {"log"},
    "typing_extensions": {"domain", "settlement", "store", "services", "web"},
    "urllib3": {"outbound"},
    "uvloop": {"worker", "sandbox"},
    "waitress": {"web/server"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "samples" not in path.parts)


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE).with_suffix(""))


def imports_of(path: Path) -> set[str]:
    """Every dotted name a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            raise AssertionError(f"{path}: relative imports hide the floors")
    return found


def owns(name: str, owners: set[str]) -> bool:
    return any(name == owner or name.startswith(f"{owner}/") for owner in owners)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_packages_are_used_by_their_owners_alone(path: Path) -> None:
    packages = {name.split(".")[0] for name in imports_of(path)} - {"broadcaster"}
    foreign = {package for package in packages if package not in sys.stdlib_module_names}
    assert foreign <= set(OWNERS), "a new package needs an owner"
    assert {package for package in foreign if not owns(name_of(path), OWNERS[package])} == set()


@pytest.mark.parametrize("path", sorted((PACKAGE / "domain").rglob("*.py")), ids=name_of)
def test_the_domain_has_no_clock_and_no_io(path: Path) -> None:
    forbidden = {"time", "os", "socket", "pathlib", "random", "threading", "sqlite3", "subprocess"}
    assert {name.split(".")[0] for name in imports_of(path)} & forbidden == set()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_a_module_of_ours_goes_by_its_own_name(path: Path) -> None:
    aliases = [
        f"{node.module}.{alias.name} as {alias.asname}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("broadcaster")
        for alias in node.names
        if alias.asname
    ]
    assert aliases == []
