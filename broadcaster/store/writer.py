"""One thread that writes: jobs that wait together share one commit.

An fsync costs the same for one job as for fifty, so durability stays full and the price is
shared. A job that fails takes nobody with it: the others are run again without it.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from broadcaster.store import database

_MOST_AT_ONCE = 64


class Writer:
    """Runs functions of the store on its own thread and connection."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return once all jobs handed over before are committed."""
        self._jobs.put(None)
        self._thread.join()

    def submit(self, job: Callable[..., Any], *args: Any) -> "Future[Any]":
        """The job's result, once it is durable; or what it raised, with nothing written."""
        future: Future[Any] = Future()
        self._jobs.put((future, lambda: job(*args)))
        return future

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            # From here on a caller who gives up waiting cannot take the job back.
            batch = [(future, job) for future, job in batch if future.set_running_or_notify_cancel()]
            try:
                self._commit_together(batch)
            except BaseException:
                # Which job it was does not matter: each is tried alone and answers for itself.
                for future, job in batch:
                    self._commit_alone(future, job)
        database.close()

    def _next_batch(self) -> list[tuple[Future[Any], Callable[[], Any]]] | None:
        first = self._jobs.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < _MOST_AT_ONCE and not self._jobs.empty():
            job = self._jobs.get()
            if job is None:
                self._jobs.put(None)
                break
            batch.append(job)
        return batch

    def _commit_together(self, batch: list[tuple[Future[Any], Callable[[], Any]]]) -> None:
        with database.transaction():
            results = [job() for _, job in batch]
        for (future, _), result in zip(batch, results, strict=True):
            future.set_result(result)

    def _commit_alone(self, future: Future[Any], job: Callable[[], Any]) -> None:
        try:
            with database.transaction():
                result = job()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
