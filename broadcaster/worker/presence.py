"""Who of this host's workers is alive: each holds a lock that the kernel drops when it dies.

A lease alone would make a restarted worker wait for the dead one's to run out; process ids are
reused and repeat in containers.
"""

import fcntl
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from broadcaster.errors import Misconfigured

_FOLDER = "workers"


class Presence:
    """This worker's name and its lock, held until the process ends or `leave` is called."""

    def __init__(self, data_dir: Path):
        self._folder = data_dir / _FOLDER
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.id = uuid.uuid4().hex
        self._path = self._folder / self.id
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def leave(self) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def dead(self, workers: Iterable[str]) -> list[str]:
        """Those of the named workers that certainly ran here and are gone."""
        return dead(self._folder.parent, workers, self.id)

    def tidy(self, keep: Iterable[str]) -> None:
        """Remove the files of dead workers that no lease names any more."""
        names = [path.name for path in self._folder.iterdir()]
        for name in set(self.dead(names)) - set(keep):
            (self._folder / name).unlink(missing_ok=True)


def dead(data_dir: Path, workers: Iterable[str], own: str) -> list[str]:
    """Those of the named workers, `own` left out, that certainly ran here and are gone.

    A name without a file here may be another host's: nothing is said of it.
    """
    return [name for name in workers if name != own and _is_dead(data_dir / _FOLDER / name)]


def _is_dead(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextmanager
def running(data_dir: Path) -> Iterator[None]:
    """Hold the data directory as one of the processes that serve from it."""
    with _held(data_dir, fcntl.LOCK_SH):
        yield


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Hold the data directory with nobody beside us; raises Misconfigured while a process serves from it."""
    with _held(data_dir, fcntl.LOCK_EX):
        yield


@contextmanager
def _held(data_dir: Path, how: int) -> Iterator[None]:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(data_dir / "running.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Misconfigured(
            f"{data_dir} is in use: stop `broadcaster run`, or whatever else works on it, first"
        ) from None
    finally:
        os.close(descriptor)
