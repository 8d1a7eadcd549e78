"""The schedule: huey wakes a channel when a broadcast is due, and runs the chores.

huey deletes a task before it runs it, so a killed worker loses the task. Nothing depends on it: what is
due stands in our own tables, and the worker's sweep finds it twice a second.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from huey import crontab
from huey.consumer import Consumer
from huey.contrib.sql_huey import SqlHuey
from peewee import Database

from broadcaster import log
from broadcaster.clock import epoch_ms
from broadcaster.store import callbacks, database, idempotency, webhooks

DAY = 86_400_000
KEPT_DAYS = 30
"""For raw callbacks and for events."""
_HEALTH_SECONDS = 10

logger = log.get(__name__)


class Schedule:
    """Wakes channels at their times; a wake-up is stored with the caller's transaction."""

    def __init__(
        self,
        opened: Database,
        wake: Callable[[int], None] | None = None,
        refresh: Callable[[], None] | None = None,
        purge: Callable[[], None] | None = None,
    ):
        """`wake` is called in the worker when a channel's time has come, `refresh` every quarter of an
        hour, `purge` every night; others only store."""
        self.huey = SqlHuey("broadcaster", database=opened, results=False, create_tables=False)

        @self.huey.task(name="start")
        def start(channel_id: int) -> None:
            if wake:
                wake(channel_id)

        @self.huey.periodic_task(crontab(minute="17"), name="forget_keys")
        def forget_keys() -> None:
            now = epoch_ms()
            idempotency.forget_keys(now - DAY)
            callbacks.forget(now - KEPT_DAYS * DAY)
            webhooks.forget(now - KEPT_DAYS * DAY)

        @self.huey.periodic_task(crontab(minute="*/15"), name="refresh")
        def refresh_channels() -> None:
            if refresh:
                refresh()

        @self.huey.periodic_task(crontab(hour="3", minute="41"), name="forget_people")
        def forget_people() -> None:
            if purge:
                purge()

        self._start = start
        self._wake = wake

    def clear(self) -> None:
        """Forget all wake-ups; the sweep finds what is due."""
        with database.transaction():
            self.huey.flush()

    def waiting(self) -> dict[str, int]:
        """How many tasks huey has at hand, and how many for later."""
        return {"ready": self.huey.pending_count(), "scheduled": self.huey.scheduled_count()}

    def wake_at(self, channel_id: int, due_at: int | None) -> str:
        """Wake the channel's sender at `due_at` (epoch ms), or now; returns the task's id."""
        eta = None if due_at is None else datetime.fromtimestamp(due_at / 1000, UTC)
        task = self._start.s(channel_id, eta=eta)
        self.huey.enqueue(task)
        return str(task.id)

    def wake(self, channel_id: int) -> None:
        """Wake the channel's sender at once if it is in this process; others read the stored wake-up."""
        if self._wake:
            self._wake(channel_id)


class _EmbeddedConsumer(Consumer):
    """huey's consumer inside a process whose signals are somebody else's."""

    def _set_signal_handlers(self) -> None:
        pass


class HueyConsumer:
    """huey's consumer with its scheduler, from start() to stop()."""

    def __init__(self, schedule: Schedule):
        # Few threads, for every idle poll takes the write lock: one for what takes long, one for wake-ups.
        self._consumer: Any = _EmbeddedConsumer(
            schedule.huey,
            workers=2,
            initial_delay=0.1,
            max_delay=0.25,
            scheduler_interval=1,
            shutdown_timeout=5,
        )
        self._stopped = threading.Event()
        self._watch = threading.Thread(target=self._watch_health, name="huey-health", daemon=True)

    def start(self) -> None:
        self._consumer.start()
        self._watch.start()

    def stop(self) -> None:
        self._stopped.set()
        self._consumer.stop(graceful=True)

    def _watch_health(self) -> None:
        while not self._stopped.wait(_HEALTH_SECONDS):
            self._consumer.check_worker_health()
