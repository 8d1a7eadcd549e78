"""make torture: worlds one after the other, each from its own seed, until the time is over."""

import argparse
import logging
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NoReturn

from tests.torture import machine, world
from tests.torture.world import Prepared, Result


def main() -> int:
    """Play worlds and print what came of each; returns 1 if a promise was broken."""
    asked = _arguments()
    seeds = [asked.world] if asked.world is not None else None
    first = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    print(f"seed {first}" if seeds is None else f"world {asked.world}", flush=True)
    folder = machine.memory_folder()
    signal.signal(signal.SIGTERM, lambda *_: _give_up(folder))
    try:
        results = _play(asked, seeds, first, folder)
    except KeyboardInterrupt:
        _give_up(folder)
    _sum_up(results)
    if not any(one.kept for one in results):
        shutil.rmtree(folder, ignore_errors=True)
    return int(any(one.faults for one in results))


def _give_up(folder: Path) -> NoReturn:
    """End at once, and the worlds with us; leave nothing in memory."""
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="no world starts after so long")
    parser.add_argument("--seed", type=int, help="of the run: the worlds' seeds are drawn from it")
    parser.add_argument("--world", type=int, help="play the world of this seed alone")
    parser.add_argument("--at-once", type=int, default=2, help="worlds beside each other")
    return parser.parse_args()


def _play(asked: argparse.Namespace, seeds: list[int] | None, first: int, folder: Path) -> list[Result]:
    library = machine.build(folder)
    (folder / "prepared").mkdir()
    prepared = world.prepare(folder / "prepared", library)
    until = time.monotonic() + asked.seconds
    rng = random.Random(first)
    results: list[Result] = []
    with ProcessPoolExecutor(asked.at_once, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        while seeds or (seeds is None and time.monotonic() < until):
            batch = seeds or [rng.randrange(10**9) for _ in range(asked.at_once)]
            seeds = [] if seeds else None
            for result in pool.map(_world, batch, [prepared] * len(batch), [folder] * len(batch)):
                _print(result)
                results.append(result)
    return results


def _end_with(parent: int) -> None:
    """Have this process end when the one that started it is gone, or is asked to end."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _world(seed: int, prepared: Prepared, folder: Path) -> Result:
    # Connections break here by intention.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    return world.play(seed, prepared, folder)


def _print(result: Result) -> None:
    told = "BROKEN" if result.faults else "holds"
    layout = "+".join(result.layout)
    print(f"world {result.seed} ({layout}): {told}, {result.counts['messages']} messages", flush=True)
    if result.faults:
        for line in [*result.plan, *(f"  - {fault}" for fault in result.faults)]:
            print(f"    {line}", flush=True)
        print(f"    files: {result.kept}; again: make torture WORLD={result.seed}", flush=True)


def _sum_up(results: list[Result]) -> None:
    total: Counter[str] = sum((one.counts for one in results), Counter())
    for what, count in sorted(total.items()):
        print(f"{count:9,} {what}")
    broken = [one.seed for one in results if one.faults]
    print(f"{len(results)} worlds, {len(broken)} broken{f': {broken}' if broken else ''}")


if __name__ == "__main__":
    sys.exit(main())
