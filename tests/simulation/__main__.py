"""Plays worlds and says which break a rule.

    python -m tests.simulation [--worlds 10000] [--first 0] [--at-once 2]

A world is its seed: `--worlds 1 --first SEED` plays it again. The exit code is 1 if one broke.
"""

import argparse
import logging
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from broadcaster import log
from broadcaster.store import database
from tests.simulation.world import WORLD_MS, play
from tests.support.databases import leave_database, make_database
from tests.support.samples import NOW

_BATCH = 100
"""Worlds that share a database, each later than the one before."""


def main() -> int:
    """Play the worlds that the options ask for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests.simulation")
    parser.add_argument("--worlds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=2)
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.worlds)
    begun = time.monotonic()
    broken = 0
    with ProcessPoolExecutor(asked.at_once) as pool:
        batches = [seeds[start : start + _BATCH] for start in range(0, len(seeds), _BATCH)]
        for batch, told in zip(batches, pool.map(_play, batches), strict=True):
            for line in told:
                print(line, flush=True)
            broken += len(told)
            if batch.start % 1000 == 0:
                print(f"world {batch.start}, {time.monotonic() - begun:.0f} s", flush=True)
    print(
        f"{len(seeds)} worlds from {seeds.start} in {time.monotonic() - begun:.0f} s, {broken} broke a rule"
    )
    return 1 if broken else 0


def _play(seeds: range) -> list[str]:
    """What broke in these worlds."""
    log.set_up("ERROR")
    logging.disable(logging.WARNING)
    told = []
    with tempfile.TemporaryDirectory(prefix="broadcaster-worlds-", dir=_memory()) as folder:
        path = make_database(Path(folder) / "broadcaster.db")
        opened = database.open(f"sqlite:///{path}")
        # Nothing here outlives the process.
        opened.execute_sql("PRAGMA synchronous = OFF")
        for place, seed in enumerate(seeds):
            try:
                play(seed, NOW + place * WORLD_MS)
            except Exception as error:
                told.append(f"world {seed}: {error}\n{traceback.format_exc(limit=-3)}")
        leave_database()
    return told


def _memory() -> Path | None:
    """A folder in memory, where there is one."""
    folder = Path("/dev") / "shm"
    return folder if folder.is_dir() else None


if __name__ == "__main__":
    sys.exit(main())
