"""The import floors, and one owner for each third-party package."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "broadcaster"

FLOORS: list[set[str]] = [
    {"errors", "phone", "templates", "pacing", "verdicts", "receipts", "wire"},
    {"config", "clock", "log", "vault", "models", "store", "graph", "presence", "installation"},
    {"sender", "tasks", "events"},
    {"planning", "broadcasts", "channels", "access", "inbox", "optouts", "hooks", "upkeep", "doctor"},
    {
        "http",
        "api",
        "dialects",
        "callbacks",
        "recipients_csv",
        "dashboard",
        "metrics",
        "description",
        "openapi",
    },
    {"app", "server", "show", "stand", "demo", "cli", "__main__", "__init__"},
]
SANDBOX_MAY_IMPORT = FLOORS[0] | {"sandbox"}

OWNERS: dict[str, set[str]] = {
    "aiohttp": {"sender", "sandbox"},
    "click": {"cli", "show"},
    "cryptography": {"vault"},
    "cysqlite": {"store"},
    "dotenv": {"config"},
    "falcon": {"http", "app", "api", "dialects", "callbacks", "dashboard", "metrics", "openapi"},
    "huey": {"tasks"},
    "itsdangerous": {"dashboard"},
    "jinja2": {"dashboard"},
    "markupsafe": {"dashboard"},
    "orjson": {"wire"},
    "peewee": {"models", "store", "tasks", "installation"},
    "phonenumbers": {"phone"},
    "playhouse": {"store"},
    "prometheus_client": {"metrics"},
    "pydantic": {"config", "http", "api", "dialects", "description", "openapi"},
    "pydantic_settings": {"config"},
    "requests": {"graph", "stand", "events"},
    "rich": {"show", "demo"},
    "standardwebhooks": {"events"},
    "structlog": {"log"},
    "uvloop": {"sender", "sandbox"},
    "waitress": {"server"},
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "samples" not in path.parts)


def name_of(path: Path) -> str:
    """The module or package directly under broadcaster that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


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


def own_imports(path: Path) -> set[str]:
    """Names directly under broadcaster that a file imports, itself left out."""
    names = {name.split(".")[1] for name in imports_of(path) if name.startswith("broadcaster.")}
    return names - {name_of(path), "__version__"}


def floor_of(name: str) -> int:
    return next(i for i, floor in enumerate(FLOORS) if name in floor)


def test_every_module_has_a_floor() -> None:
    names = {name_of(path) for path in modules()}
    assert names == set().union(*FLOORS) | {"sandbox"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards(path: Path) -> None:
    name = name_of(path)
    if name == "sandbox":
        assert own_imports(path) <= SANDBOX_MAY_IMPORT
        return
    upward = {n for n in own_imports(path) - {"sandbox"} if floor_of(n) > floor_of(name)}
    assert upward == set()
    assert name == "cli" or "sandbox" not in own_imports(path)


def test_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {}
    for path in modules():
        graph.setdefault(name_of(path), set()).update(own_imports(path))
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"cycle: {' -> '.join((*above, name))}"
        if name not in done:
            for below in graph[name]:
                visit(below, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_packages_are_used_by_their_owners_alone(path: Path) -> None:
    packages = {name.split(".")[0] for name in imports_of(path)} - {"broadcaster"}
    foreign = {package for package in packages if package not in sys.stdlib_module_names}
    assert foreign <= set(OWNERS), "a new package needs an owner"
    assert {package for package in foreign if name_of(path) not in OWNERS[package]} == set()


@pytest.mark.parametrize("name", sorted(FLOORS[0]))
def test_the_lowest_floor_has_no_clock_and_no_io(name: str) -> None:
    forbidden = {"time", "os", "socket", "pathlib", "random", "threading", "sqlite3", "subprocess"}
    assert {n.split(".")[0] for n in imports_of(PACKAGE / f"{name}.py")} & forbidden == set()
