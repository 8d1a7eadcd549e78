"""The worker: starts and stops, sweeps for what is due, and shows that it lives.

One asyncio loop a process, on a thread of its own; on it one ChannelSender an active channel. HTTP happens
on the loop, SQL on the writer's thread.
"""

import asyncio
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from broadcaster import clock, log
from broadcaster.clock import epoch_ms
from broadcaster.config import Settings
from broadcaster.errors import Misconfigured
from broadcaster.meta.send_client import SendClient
from broadcaster.meta.sending import ANSWER_SECONDS
from broadcaster.settlement import lifecycle, outcomes
from broadcaster.store import allowance, broadcasts, clock_turns, database, installation, leases
from broadcaster.store.writer import Writer
from broadcaster.vault import Vault
from broadcaster.worker import channel_jobs, presence
from broadcaster.worker.channel_jobs import LEASE_MS
from broadcaster.worker.channel_sender import ChannelSender, Shared, sleep_until
from broadcaster.worker.presence import Presence
from broadcaster.worker.recorder import Recorder
from broadcaster.worker.windows import Windows

HEARTBEAT_SECONDS = 5
TURN_SECONDS = 1
SWEEP_SECONDS = 0.5
_ALL = 1_000_000
FREE_SECONDS = 1
"""So long a channel beyond our share is left to others."""
"""Half of the second within which a broadcast that was scheduled a moment ago must start."""

logger = log.get(__name__)


class Found(NamedTuple):
    """What a sweep found: the channels with due messages that no other worker sends for, how many of all
    channels fall to each worker, and when the next broadcast is due (epoch milliseconds)."""

    channel_ids: list[int]
    share: int
    due: int | None


class Worker:
    """Sends what is due, from start() to stop()."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        writer: Writer | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ):
        """A running `writer` is shared; without one the worker has its own."""
        self._settings = settings
        self._vault = vault
        self._answer_seconds = answer_seconds
        self._presence = Presence(settings.data_dir)
        self._own_writer = None if writer else Writer()
        self._writer: Any = writer or self._own_writer
        self._senders: dict[int, ChannelSender | None] = {}
        """By channel; None while the lease is being taken."""
        self._free_since: dict[int, float] = {}
        """Since when nobody sends for these channels, monotonic seconds."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = uvloop.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self.failure: BaseException | None = None
        self._turned_at = time.monotonic()
        """When the loop last had time for everything on it."""

    def start(self) -> None:
        """Return when the sweep runs; raises what kept it from running."""
        if self._own_writer:
            self._own_writer.start()
        self._thread.start()
        self._ready.wait()
        if self.failure:
            raise self.failure

    def stop(self, seconds: float | None = None) -> bool:
        """No new claims; True when what was in flight is settled, False if that took longer than `seconds`.

        What is not settled then is found by the next worker and becomes unknown.
        """
        self.begin_stop()
        self._thread.join(seconds)
        if self._thread.is_alive():
            return False
        if self._own_writer:
            self._own_writer.stop()
        self._presence.leave()
        return True

    def begin_stop(self) -> None:
        """No new claims from here on; stop() waits for the rest."""
        with suppress(RuntimeError):
            # The loop has closed: there is nothing to stop.
            if self._thread.is_alive():
                self._loop.call_soon_threadsafe(self._stopping.set)

    def wake(self, channel_id: int) -> None:
        """Something of this channel is due. From any thread; harmless when there is nothing."""
        with suppress(RuntimeError):
            # The loop has closed: the next worker's sweep finds it.
            self._loop.call_soon_threadsafe(self._wake, channel_id)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def silence(self) -> float:
        """For how many seconds the loop has not turned."""
        return time.monotonic() - self._turned_at

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        except BaseException as error:
            self.failure = error
            logger.exception("the worker ended")
        finally:
            self._ready.set()
            self._loop.close()

    async def _main(self) -> None:
        self._stopping = asyncio.Event()
        recorder = Recorder(self._write)
        async with SendClient(self._settings.graph_url, self._answer_seconds) as client:
            self._shared = Shared(
                self._settings,
                self._vault,
                self._presence.id,
                await self._write(installation.key),
                self._write,
                self._gather,
                client,
                recorder,
                Windows(self._presence.id),
                self._stopping,
            )
            recording = asyncio.create_task(recorder.run())
            turning = asyncio.create_task(self._turn())
            await self._beat()
            self._ready.set()
            await self._sweep_until_stopped()
            while self._tasks:
                await asyncio.wait(self._tasks)
            recording.cancel()
            turning.cancel()
            await recorder.flush()
            try:
                await self._write(leases.leave, self._presence.id)
            except Exception:
                logger.warning("the heartbeat stays until it is stale", exc_info=True)

    async def _turn(self) -> None:
        """Show that the loop turns, until cancelled."""
        while True:
            self._turned_at = time.monotonic()
            await asyncio.sleep(TURN_SECONDS)

    async def _write(self, job: Any, *args: Any) -> Any:
        """Run a job on the writer's thread."""
        return await asyncio.wrap_future(self._writer.submit(job, *args))

    async def _gather(self, job: Any, row: Any) -> Any:
        """Run a job on the writer's thread with this row and all that wait beside it."""
        return await asyncio.wrap_future(self._writer.gather(job, row))

    async def _beat(self) -> None:
        holders = await self._write(beat, self._presence.id, socket.gethostname(), os.getpid())
        self._presence.tidy(holders)

    async def _sweep_until_stopped(self) -> None:
        """Wake channels with due messages. huey may lose a task; the sweep finds what is due all the same."""
        beaten = time.monotonic()
        while not self._stopping.is_set():
            try:
                if time.monotonic() - beaten >= HEARTBEAT_SECONDS:
                    beaten = time.monotonic()
                    await self._beat()
                window = self._settings.unknown_window * 1000
                me, data_dir = self._presence.id, self._settings.data_dir
                found: Found = await self._write(sweep, window, me, data_dir)
                self._take_share(found)
                due = found.due
                pause = SWEEP_SECONDS if due is None else min(SWEEP_SECONDS, (due - epoch_ms() + 1) / 1000)
            except Exception:
                logger.exception("sweep failed, trying again")
                pause = SWEEP_SECONDS
            await sleep_until(self._stopping, max(0.001, pause))

    def _take_share(self, found: Found) -> None:
        """Send for what nobody sends for, up to our share; what others leave alone for a second is ours, too.
        What we have beyond our share we let go, one channel at a time, for others to take."""
        now = time.monotonic()
        self._free_since = {one: self._free_since.get(one, now) for one in found.channel_ids}
        for channel_id in found.channel_ids:
            is_free_long = now - self._free_since[channel_id] > FREE_SECONDS
            if channel_id in self._senders or len(self._senders) < found.share or is_free_long:
                self._wake(channel_id)
        if len(self._senders) > found.share:
            sender = list(self._senders.values())[-1]
            if sender:
                sender.leave()

    def _wake(self, channel_id: int) -> None:
        if channel_id in self._senders:
            sender = self._senders[channel_id]
            if sender:
                sender.wake()
        elif not self._stopping.is_set():
            self._senders[channel_id] = None
            task = asyncio.create_task(self._serve(channel_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _tell_trouble(self, channel_id: int, error: Exception) -> None:
        """Let go of the channel and let callers see why; the sweep tries again."""
        if database.is_trouble(error):
            return
        known = isinstance(error, Misconfigured)
        trouble = str(error) if known else "sending failed and is tried again; the log says why"
        try:
            await self._write(leases.fail, channel_id, self._presence.id, trouble)
        except Exception:
            logger.warning("no reason could be noted for a channel", channel=channel_id, exc_info=True)

    async def _serve(self, channel_id: int) -> None:
        """Send for a channel until nothing of it is due, or another worker holds it."""
        sender: ChannelSender | None = None
        try:
            taken = await self._write(
                channel_jobs.take_over, channel_id, self._presence.id, self._settings.data_dir
            )
            if taken:
                sender = self._senders[channel_id] = ChannelSender(channel_id, taken, self._shared)
                await sender.run()
        except Exception as error:
            logger.exception("sending for a channel failed, the sweep will try again", channel=channel_id)
            await self._tell_trouble(channel_id, error)
        finally:
            # Whatever the database says, the sweep must be able to wake this channel again.
            del self._senders[channel_id]
        if sender and sender.news.is_set() and not (sender.is_leaving or self._stopping.is_set()):
            self._wake(channel_id)


def sweep(unknown_window: int, owner: str, data_dir: Path) -> Found:
    """Close what waited too long (`unknown_window` milliseconds), cancel what has run out; a writer's job."""
    now = epoch_ms()
    heed_clock(now)
    if database.try_name("sweep"):
        outcomes.close_unknown(unknown_window, max(allowance.DAY, unknown_window), now)
        lifecycle.expire(now)
    channel_ids = broadcasts.channels_to_wake(now)
    held = leases.held(now)
    dead = presence.dead(data_dir, set(held.values()), owner) if held else []
    elsewhere = {channel_id for channel_id, holder in held.items() if holder not in (owner, *dead)}
    alive = leases.alive(now - 3 * HEARTBEAT_SECONDS * 1000)
    # Alone we send for all, whatever the count is at this moment.
    share = -(-len(held.keys() | set(channel_ids)) // alive) if alive > 1 else _ALL
    return Found([one for one in channel_ids if one not in elsewhere], share, broadcasts.next_due(now))


def heed_clock(now: int) -> None:
    """Let what was due stay due if the clock was set back. Before anything is written at the new time."""
    back = clock_turns.heed(now, LEASE_MS)
    if back:
        logger.warning("the clock was set back", seconds=back // 1000)


def beat(worker_id: str, host: str, pid: int) -> list[str]:
    """Show that this worker lives; returns all owners named on leases. A writer's job."""
    clock.follow(database.ahead())
    now = epoch_ms()
    heed_clock(now)
    leases.beat(worker_id, host, pid, now)
    leases.forget_workers(now - 20 * HEARTBEAT_SECONDS * 1000)
    return leases.holders()
