"""Some hundred worlds of the engine; `make simulate` plays ten thousand."""

from typing import Any

import pytest

from tests.simulation.world import WORLD_MS, play
from tests.support.samples import NOW


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_the_rules_hold_in_every_world(db: Any, first: int) -> None:
    for seed in range(first, first + 30):
        play(seed, NOW + (seed - first) * WORLD_MS)
