"""The processes: web, worker, and both in one; starting, and stopping without losing anything."""

import gc
import os
import resource
import signal
import threading
import time
from typing import Any

from broadcaster import log
from broadcaster.cli import systemd
from broadcaster.cli.systemd import Silence, Watchdog
from broadcaster.clock import epoch_ms
from broadcaster.config import Settings
from broadcaster.errors import Misconfigured
from broadcaster.services import channel_setup, upkeep
from broadcaster.services.start_up import open_installation
from broadcaster.store.writer import Writer
from broadcaster.vault import Vault
from broadcaster.web.server import Server
from broadcaster.worker import presence
from broadcaster.worker.schedule import HueyConsumer, Schedule
from broadcaster.worker.webhook_delivery import WebhookDelivery
from broadcaster.worker.worker import Worker

STOP_SECONDS = 33
"""A stop ends within 35 s: the longest answer is waited for, and a little is left to write it down."""
_OPEN_FILES = 65_536

logger = log.get(__name__)


class _WorkerHalf:
    """What sends and does the chores: the worker, huey's consumer, the delivery of webhooks."""

    def __init__(self, settings: Settings, opened: Any, vault: Vault, writer: Writer):
        self._settings = settings
        self._vault = vault
        self.worker = Worker(settings, vault, writer)
        self.schedule = Schedule(opened, self.worker.wake, self._refresh, self._purge)
        self._delivery = WebhookDelivery(settings, vault)
        self._consumer = HueyConsumer(self.schedule)

    def start(self) -> None:
        self._delivery.start()
        self._consumer.start()
        logger.info("worker ready")

    def stop(self, deadline: float) -> None:
        """Settle what is in flight until the deadline (monotonic seconds)."""
        self._consumer.stop()
        self._delivery.stop(5)
        if not self.worker.stop(max(0.0, deadline - time.monotonic())):
            logger.warning("messages in flight were given up, the next start makes them unknown")

    def _refresh(self) -> None:
        channel_setup.refresh_all(self._settings, self._vault, epoch_ms())

    def _purge(self) -> None:
        logger.info("purged", **upkeep.purge(self._settings.retention_days, epoch_ms()))


def run(settings: Settings, web: bool = True, worker: bool = True) -> None:
    """Run the halves asked for until SIGTERM or SIGINT; raises Misconfigured if they cannot start."""
    with presence.running(settings.data_dir):
        _run(settings, web, worker)


def _run(settings: Settings, web: bool, worker: bool) -> None:
    opened, vault = open_installation(settings)
    raise_open_files()
    # In one process all writing goes through one thread: two would queue for SQLite's lock by sleeping.
    writer = Writer()
    half = _WorkerHalf(settings, opened, vault, writer) if worker else None
    server = Server(settings, half.schedule if half else Schedule(opened), vault, writer) if web else None
    stopping = _stop_on_signals(server)
    watchdog: Watchdog | None = None

    def healthy() -> bool:
        return not stopping.is_set() and (half is None or half.worker.alive)

    _calm_the_collector()
    writer.start()
    if half:
        half.worker.start()
    try:
        if half:
            half.start()
        if server:
            logger.info("web ready", url=server.url)
        systemd.notify("READY=1")
        watchdog = _watch(writer, half, server)
        if server:
            server.serve_while(healthy)
        while healthy():
            stopping.wait(1)
    finally:
        if watchdog:
            watchdog.stop()
        _stop(server, half)
        writer.stop()
    if half and half.worker.failure:
        raise Misconfigured("the worker ended unexpectedly; the log says why")
    logger.info("stopped")


def _watch(writer: Writer, half: _WorkerHalf | None, server: Server | None) -> Watchdog | None:
    """A running watchdog over all that runs here, if systemd asks for one."""
    seconds = systemd.watchdog_seconds(os.environ)
    if seconds is None:
        return None
    parts: dict[str, Silence] = {"writer": writer.silence}
    if half:
        parts["worker"] = half.worker.silence
    if server:
        parts["web"] = server.silence
    watchdog = Watchdog(seconds, parts)
    watchdog.start()
    return watchdog


def _stop_on_signals(server: Server | None) -> threading.Event:
    """An event that SIGTERM and SIGINT set; the second ends the process without waiting for what is under
    way, as a crash would: what is in flight is unknown at the next start."""
    stopping = threading.Event()

    def stop(*_: Any) -> None:
        if stopping.is_set():
            logger.warning("stopped at once; messages in flight are unknown from the next start on")
            os._exit(1)
        stopping.set()
        if server:
            server.pull_trigger()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return stopping


def _stop(server: Server | None, half: _WorkerHalf | None) -> None:
    """Stop both halves at once: no new claims, no new connections; what is under way ends."""
    logger.info("stopping")
    systemd.notify("STOPPING=1")
    deadline = time.monotonic() + STOP_SECONDS
    if half:
        half.worker.begin_stop()
    draining = threading.Thread(target=server.drain, args=(deadline,), daemon=True) if server else None
    if draining:
        draining.start()
    if half:
        half.stop(deadline)
    if draining:
        draining.join(max(0.0, deadline - time.monotonic()))


def _calm_the_collector() -> None:
    """Thousands of short-lived tasks a second make the default thresholds cost a sixth of the CPU, and
    a request of 5,000 recipients is all gone when it is answered."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def raise_open_files() -> None:
    """Allow as many connections as a full pool and many idle clients need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
