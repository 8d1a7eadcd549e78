"""Backup and restore over a power loss: what was said to be done is done."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from broadcaster.sandbox import testbed
from tests.support.installation import Prepared
from tests.torture import machine, world
from tests.torture.machine import Machine

pytestmark = pytest.mark.skipif(machine.compiler() is None, reason="there is no C compiler here")


@pytest.fixture
def here(
    tmp_path: Path, prepared: Prepared, graph_url: str
) -> Iterator[tuple[Machine, testbed.Installation]]:
    """A machine with an installation, whose backup is restored."""
    made = Machine(tmp_path, machine.build(tmp_path))
    world.lay_out(made, prepared.data, 80)
    installation = testbed.Installation(tmp_path, graph_url, data_dir=str(made.root / "data"))
    installation.environ |= made.environ
    yield made, installation
    made.close()


def test_a_power_loss_takes_no_backup_and_no_restore(
    here: tuple[Machine, testbed.Installation],
) -> None:
    made, installation = here
    copy, database = made.root / "backups" / "copy.db", made.root / "data" / "broadcaster.db"
    assert made.command(installation, "backup", str(copy))[0] == 0
    assert made.command(installation, "restore", str(copy), "--yes")[0] == 0
    restored = database.read_bytes()
    for seed in range(20):
        made.cut_power(random.Random(seed), is_last=False)
        assert copy.exists()
        assert database.read_bytes() == restored
