"""Threads that write, as many as the engine takes. On SQLite it is one, and jobs that wait together share a
commit.

An fsync costs the same for one job as for fifty, so durability stays full and the price is shared. Rows for
one function are taken together on every engine. A job that fails takes nobody with it: the others are run
again without it. Where the database itself refuses (locked, disk full) all are told at once: it would refuse
each of them, ten seconds long.
"""

import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from types import MethodType
from typing import Any

from broadcaster.store import database

_MOST_ROWS = 64
"""Jobs of one commit."""
_MOST_TRIES = 5
"""Of a job that is given up for another transaction's sake."""
_STUCK_SECONDS = 2
_LONG_SECONDS = 0.05


@dataclass(slots=True)
class _Job:
    """A call of the store's, or one row for a function that takes many and answers for each or for none."""

    future: "Future[Any]"
    call: Callable[..., Any]
    row: Any = None
    is_row: bool = False

    def alone(self) -> Any:
        return _answers(self.call, [self.row])[0] if self.is_row else self.call()


class Writer:
    """Runs functions of the store on threads and connections of its own."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._begun: dict[int, float] = {}
        """When the transaction under way on each thread began, monotonic seconds."""
        self._threads = [
            threading.Thread(target=self._run, name="writer", daemon=True) for _ in range(database.writers())
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def is_stuck(self) -> bool:
        """Whether every commit under way has been waiting for the database for longer than any takes."""
        begun = list(self._begun.values())
        late = time.monotonic() - _STUCK_SECONDS
        return len(begun) == len(self._threads) and max(begun) < late

    def stop(self) -> None:
        """Return once all jobs handed over before are committed."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def silence(self) -> float:
        """For how many seconds the oldest transaction under way has run; 0 while there is none, for ever once
        a thread has ended."""
        if any(thread.ident is not None and not thread.is_alive() for thread in self._threads):
            return math.inf
        return max((time.monotonic() - begun for begun in list(self._begun.values())), default=0.0)

    def submit(self, job: Callable[..., Any], *args: Any) -> "Future[Any]":
        """The job's result, once it is durable; or what it raised, with nothing written.

        The job is a function of a module that takes and returns values: it runs on the writer's thread,
        and again, alone, when another job of its commit fails. Raises TypeError for a bound method, which
        would bring an object of another thread along.
        """
        if isinstance(job, MethodType):
            raise TypeError(f"a job is a function of a module, not the method {job.__qualname__}")
        future: Future[Any] = Future()
        self._jobs.put(_Job(future, lambda: job(*args)))
        return future

    def gather(self, function: Callable[[list[Any]], list[Any] | None], row: Any) -> "Future[Any]":
        """Done once `function` got the row, together with all others that wait for the same function,
        and what it wrote is durable: with its answer for this row, where it gives one for each."""
        future: Future[Any] = Future()
        self._jobs.put(_Job(future, function, row, is_row=True))
        return future

    def _run(self) -> None:
        me, at_once = threading.get_ident(), database.most_at_once()
        batch, following = self._next_batch(None, at_once)
        while batch:
            # From here on a caller who gives up waiting cannot take the job back.
            batch = [job for job in batch if job.future.set_running_or_notify_cancel()]
            while batch:
                self._begun[me] = time.monotonic()
                try:
                    batch = self._commit_together(batch)
                except BaseException as error:
                    self._commit_apart(batch, error)
                    batch = []
            self._begun.pop(me, None)
            batch, following = self._next_batch(following, at_once)
        database.close()

    def _next_batch(self, first: _Job | None, at_once: int) -> tuple[list[_Job], _Job | None]:
        """Jobs to commit together, none at the end; and one that was met behind them and is not of them."""
        first = first or self._jobs.get()
        if first is None:
            return [], None
        batch = [first]
        while len(batch) < _MOST_ROWS and not self._jobs.empty():
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            if not (job.is_row and job.call is first.call) and len(batch) >= at_once:
                return batch, job
            batch.append(job)
        return batch, None

    def _commit_together(self, batch: list[_Job]) -> list[_Job]:
        """Run jobs and commit, no more once that has taken long: who waits for the first should not wait for
        the last, nor other processes for all. Returns those that are left."""
        gathered: dict[Callable[..., Any], list[int]] = {}
        results: list[Any] = []
        with database.transaction():
            begun = time.monotonic()
            for place, job in enumerate(batch):
                if job.is_row:
                    gathered.setdefault(job.call, []).append(place)
                results.append(None if job.is_row else job.call())
                if time.monotonic() - begun > _LONG_SECONDS:
                    break
            for function, places in gathered.items():
                answers = _answers(function, [batch[place].row for place in places])
                for place, answer in zip(places, answers, strict=True):
                    results[place] = answer
        for job, result in zip(batch, results, strict=False):
            job.future.set_result(result)
        return batch[len(results) :]

    def _commit_apart(self, batch: list[_Job], error: BaseException) -> None:
        for job in batch:
            if database.is_trouble(error) and not database.is_conflict(error):
                job.future.set_exception(error)
            else:
                # Which job it was does not matter: each is tried alone and answers for itself.
                self._begun[threading.get_ident()] = time.monotonic()
                self._commit_alone(job)

    def _commit_alone(self, job: _Job, tries: int = _MOST_TRIES) -> None:
        try:
            with database.transaction():
                result = job.alone()
        except BaseException as error:
            if tries > 1 and database.is_conflict(error):
                self._commit_alone(job, tries - 1)
            else:
                job.future.set_exception(error)
        else:
            job.future.set_result(result)


def _answers(function: Callable[[list[Any]], list[Any] | None], rows: list[Any]) -> list[Any]:
    """What a function that takes many answers for each of them."""
    answers = function(rows)
    return [None] * len(rows) if answers is None else answers
