"""The map of the code and the recipes name only files there are."""

import re

import pytest

from tests.support.readme import ROOT

_PATH = re.compile(
    r"(?<![\w/.:{-])(?:(?:[\w.-]+/)+(?:[\w-]+(?:\.\w+)*)?|[\w-]+\.(?:py|rst|toml|cfg|yaml|json|html|css|js)\b)"
)


def paths_named_in(document: str) -> list[str]:
    return sorted(set(_PATH.findall((ROOT / document).read_text())))


@pytest.mark.parametrize("document", ["docs/architecture.rst", "CONTRIBUTING.rst"])
def test_a_guide_names_only_files_there_are(document: str) -> None:
    named = paths_named_in(document)
    assert len(named) > 30
    assert [path for path in named if not _exists(path)] == []


def _exists(path: str) -> bool:
    """Whether a path is one of the repository, of the package, or the name of a file in the package."""
    if (ROOT / path).exists() or (ROOT / "broadcaster" / path).exists():
        return True
    return "/" not in path and any((ROOT / "broadcaster").rglob(path))


@pytest.mark.parametrize(
    "folder", sorted(path.name for path in (ROOT / "broadcaster").iterdir() if path.is_dir())
)
def test_the_map_has_every_folder(folder: str) -> None:
    assert folder == "__pycache__" or f"``{folder}/``" in (ROOT / "docs" / "architecture.rst").read_text()
