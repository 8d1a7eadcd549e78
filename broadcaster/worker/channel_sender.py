"""One channel's messages out, at its pace, each at most once. Runs on the loop.

A sender holds its channel's lease and repeats: claim a little, send it, hand the answers to the recorder.
What it asks of the database are the jobs of `channel_jobs`, on the writer's thread.

What makes a second request impossible: a claim is durable before its request leaves; a request that may
have left and has no readable answer becomes `unknown`, never pending; and the writer moves a message only
from the state and attempt its answer belongs to.
"""

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from broadcaster import log
from broadcaster.clock import epoch_ms
from broadcaster.config import Settings
from broadcaster.domain import verdicts
from broadcaster.domain.decide import Claimed
from broadcaster.domain.edge import Edge
from broadcaster.domain.pacing import Window
from broadcaster.domain.retries import PAIR_MS
from broadcaster.domain.verdicts import Reaction, Verdict
from broadcaster.meta import sending
from broadcaster.meta.send_client import SendClient
from broadcaster.meta.sending import Sending
from broadcaster.settlement.outcomes import Answer
from broadcaster.store import leases
from broadcaster.vault import Vault
from broadcaster.worker import channel_jobs
from broadcaster.worker.channel_jobs import LEASE_MS, Facts, Look, Order, Taken, Taking
from broadcaster.worker.recorder import Recorder, Write
from broadcaster.worker.windows import Windows

NEAR_WALL = 5000
"""New people left in the allowance from which on it is counted at every claim: more than all of a
portfolio's channels can reach in a second."""
WALL_SECONDS = 2
"""Between two looks whether the allowance has opened again, or the tier been raised."""
AHEAD_SECONDS = 0.1
"""A slow channel claims so long before a message may leave: about what a claim takes among hundreds."""
IDLE_SECONDS = 0.25
"""After a claim that found nothing due: something may come back from its flight."""

logger = log.get(__name__)


@dataclass(frozen=True)
class Shared:
    """What all channel senders of a worker share; everything in it belongs to the loop."""

    settings: Settings
    vault: Vault
    owner: str
    """The worker's name on leases."""
    installation_key: str
    write: Write
    gather: Write
    """Hands one row to a writer's job that takes those of many channels."""
    client: SendClient
    recorder: Recorder
    windows: Windows
    stopping: asyncio.Event


class ChannelSender:
    """Sends for one channel until nothing of it is due, or another worker holds it."""

    def __init__(self, channel_id: int, taken: Taken, shared: Shared):
        self.news = asyncio.Event()
        """Something may have become due."""
        self._channel_id = channel_id
        self._shared = shared
        self._read_at = time.monotonic()
        """When the channel's row was last read, monotonic seconds."""
        self._window: Window = shared.windows.window_for(
            channel_id, taken.facts.pace, taken.previous, taken.abandoned > 0, taken.at, self._read_at
        )
        self._heed(taken.facts)
        self._hand: deque[Claimed] = deque()
        """Claimed ahead, waiting for their place in the window."""
        self._claimed = 0
        """All that is claimed and not yet settled: in hand, in flight, or waiting to be recorded."""
        self._sends: set[asyncio.Task[None]] = set()
        self._edge: Edge = shared.windows.edge_for(channel_id, taken.previous)
        self._window.hold(self._edge.held_until)
        self._place = asyncio.Event()
        """A place among the open requests is free."""
        self._is_troubled = asyncio.Event()
        """Something new keeps messages from leaving, for callers to see."""
        self._told: str | None = None
        """What they were told last."""
        self._room = 0
        """How many new people the allowance had left after the last claim."""
        self._counted_at = 0.0
        self._not_before = taken.not_before
        """People written to in the last seconds, and when they may be again (epoch ms)."""
        self._tidy_at = 0
        """When those who may be again are next taken out: thousands, too many to look at for each claim."""
        self._idle_until = 0.0
        """Not before this the next claim, monotonic seconds."""
        self._turn = 0
        self.is_leaving = False
        """Whether the channel is let go for another worker to take."""

    def _heed(self, facts: Facts) -> None:
        """Follow the channel's row: its token, its pace, the size of its portfolio's tier."""
        self._portfolio = facts.portfolio
        self._tier_size = facts.tier_size
        path = f"{self._shared.settings.graph_version}/{facts.phone_number_id}/messages"
        self._head = self._shared.client.head(path, self._shared.vault.unlock(facts.token))
        if facts.pace != self._window.base:
            self._window.set_pace(facts.pace)

    def leave(self) -> None:
        """Let the channel go for another worker to take."""
        self.is_leaving = True
        self.news.set()

    def wake(self) -> None:
        """Something of this channel is due."""
        self._idle_until = 0.0
        self.news.set()

    async def run(self) -> None:
        """Send at the pace; then wait until what is in flight is settled, and free the lease."""
        try:
            await self._drive()
        finally:
            await self._let_go()

    async def _drive(self) -> None:
        """Send until nothing is due, the worker stops, or the lease is lost."""
        claiming: asyncio.Task[bool] | None = None
        keeping = asyncio.create_task(self._keep())
        try:
            while not (self.is_leaving or self._shared.stopping.is_set() or keeping.done()):
                now = time.monotonic()
                if claiming and claiming.done():
                    if not claiming.result():
                        return
                    claiming = None
                if self._window.is_held(now) or now - self._read_at > LEASE_MS / 1000 - 2:
                    # Not for a while, or we slept so long that the lease may be another's by now.
                    self._put_back()
                elif claiming is None and self._wants_more(now):
                    claiming = asyncio.create_task(self._claim())
                self._let_out()
                await self._await_change(claiming)
        finally:
            keeping.cancel()
            ended, _ = await asyncio.wait((keeping, claiming) if claiming else (keeping,))
            for task in ended:
                if not task.cancelled() and task.exception():
                    logger.warning(
                        "a channel was let go", channel=self._channel_id, exc_info=task.exception()
                    )
            self._put_back()

    async def _keep(self) -> None:
        """Hold the lease and follow the channel's row; ends when another worker took over."""
        held = True
        while held:
            await sleep_until(self._is_troubled, 1)
            self._is_troubled.clear()
            held = await self._look_again()

    async def _look_again(self) -> bool:
        """Renew the lease and follow changes of pace, tier and token; False if another worker took over."""
        monotonic = time.monotonic()
        self._window.recover(monotonic, monotonic - self._read_at)
        self._told = self._trouble()
        look = Look(self._channel_id, self._shared.owner, self._window.current, self._told)
        facts: Facts | None = await self._shared.gather(channel_jobs.look_again, look)
        if facts is None:
            return False
        self._heed(facts)
        self._read_at = monotonic
        return True

    def _trouble(self) -> str | None:
        """What keeps messages from leaving, in a sentence; None if nothing does."""
        return self._edge.trouble(time.monotonic(), len(self._sends))

    def _wants_more(self, now: float) -> bool:
        """Whether to claim: a little ahead, so that a message is at hand when its place opens.

        Never more than a tenth of a second's pace, which may still leave after a stop; of a slow channel one
        message, a tenth of a second before its place opens: what is in hand at a crash becomes unknown.
        """
        if self._claimed >= self._edge.most_claimed or now < self._idle_until:
            return False
        step = self._window.step
        if step == 1:
            return not self._hand and self._window.opens_within(AHEAD_SECONDS, now)
        return len(self._hand) <= step // 2

    def _let_out(self) -> None:
        now = time.monotonic()
        for _ in range(min(len(self._hand), self._window.room(now), self._edge.most_open - len(self._sends))):
            self._window.take()
            self._edge.leaving(now, len(self._sends))
            task = asyncio.create_task(self._send(self._hand.popleft()))
            self._sends.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._sends.discard(task)
        # Not news: that would wake the sender for every answer, thousands of times a second.
        self._place.set()

    async def _await_change(self, claiming: "asyncio.Task[bool] | None") -> None:
        """Sleep until something can be let out or claimed."""
        now = time.monotonic()
        if self._hand and len(self._sends) >= self._edge.most_open:
            self._place.clear()
            await sleep_until(self._place, IDLE_SECONDS)
        elif self._hand or (
            not claiming and now >= self._idle_until and self._claimed < self._edge.most_claimed
        ):
            ahead = 0.0 if self._hand else AHEAD_SECONDS
            await asyncio.sleep(min(0.5, max(0.001, self._window.wait(now) - ahead)))
        elif claiming:
            await asyncio.wait((claiming,), timeout=1)
        else:
            self.news.clear()
            await sleep_until(self.news, IDLE_SECONDS)

    async def _claim(self) -> bool:
        """Take the next messages in hand; False if the lease is lost or nothing is left to do."""
        taking: Taking | None = await self._shared.gather(channel_jobs.claim, self._order())
        if taking is None:
            return False
        # Only now that it is durable: a claim may be run again when others of its commit fail.
        found, self._room = taking.claim, taking.room
        self._note_people(found.messages)
        self._turn += 1
        self._claimed += len(found.messages)
        self._hand.extend(found.messages)
        if not found.messages and not found.passed_over:
            # Something may come back from its flight, or a retry come due; the sweep finds the rest.
            self._idle_until = time.monotonic() + (WALL_SECONDS if found.is_walled else IDLE_SECONDS)
        return bool(found.messages or self._claimed or found.is_walled or found.passed_over)

    def _order(self) -> Order:
        """What to claim now.

        Counting the people of 24 h takes milliseconds where they are a hundred thousand, so far from the
        wall a count serves for a second: nobody else can come near it in that time.
        """
        monotonic = time.monotonic()
        count_anew = self._room < NEAR_WALL or monotonic - self._counted_at > 1
        if count_anew:
            self._counted_at = monotonic
        return Order(
            self._channel_id,
            self._shared.owner,
            self._portfolio,
            min(self._window.step, self._edge.most_claimed - self._claimed),
            self._turn,
            self._window.current,
            self._tier_size,
            None if count_anew or self._tier_size is None else self._room,
            self._not_before,
        )

    def _note_people(self, batch: list[Claimed]) -> None:
        """Remember when the people of these messages may be written to again."""
        now = epoch_ms()
        if not now < self._tidy_at <= now + 1000:
            self._not_before = {who: at for who, at in self._not_before.items() if at > now}
            self._tidy_at = now + 1000
        self._not_before.update((row.person, row.claimed_at + PAIR_MS) for row in batch)

    def _put_back(self) -> None:
        """What is in hand and has not left is pending again: it will be a while until it may leave."""
        while self._hand:
            self._record(self._hand.popleft(), verdicts.RETURNED)

    async def _let_go(self) -> None:
        """Wait for what is in flight, then free the lease."""
        while self._claimed > 0:
            self.news.clear()
            await self.news.wait()
        await self._shared.write(leases.release, self._channel_id, self._shared.owner, self._trouble())

    async def _send(self, claimed: Claimed) -> None:
        """Send one message and have its answer recorded."""
        # Whatever happens, the message must be recorded: the sender ends when all it claimed is settled.
        done, leaving = Sending(verdicts.UNREADABLE, True), _Leaving(self._window)
        try:
            body = sending.compose(claimed, self._shared.installation_key)
            done = await sending.send(self._shared.client, self._head, body, leaving)
            if not done.has_left:
                self._window.give_back()
            self._react(done)
        finally:
            self._record(claimed, done.verdict, leaving.at)

    def _record(self, claimed: Claimed, verdict: Verdict, left_at: int | None = None) -> None:
        answer = Answer(self._channel_id, self._portfolio, claimed, verdict, epoch_ms(), left_at)
        self._shared.recorder.add(answer, self._settled)

    def _settled(self) -> None:
        self._claimed -= 1
        self.news.set()

    def _react(self, done: Sending) -> None:
        """What an answer means for the messages behind this one."""
        now = time.monotonic()
        reaction = done.verdict.reaction
        if reaction is Reaction.UNREACHED:
            self._edge.unreached(now)
        elif reaction is Reaction.LOST:
            if self._edge.doubtful(now):
                self._window.slow(now)
        else:
            self._edge.clear(now)
            self._heed_throttling(done.verdict, now)
        if reaction is not Reaction.SENT:
            self._heed_trouble(done.wait, now)

    def _heed_trouble(self, wait: float | None, now: float) -> None:
        """Hold the channel where the edge says so, and have callers told at once."""
        if wait is not None:
            self._edge.asked(now, wait)
        trouble = self._edge.trouble(now, 0)
        if self._edge.held_until > now and not self._window.is_held(self._edge.held_until - 0.001):
            seconds = round(self._edge.held_until - now)
            logger.warning("held", channel=self._channel_id, seconds=seconds, detail=trouble)
            self._window.hold(self._edge.held_until)
        if trouble not in (None, self._told):
            self._is_troubled.set()

    def _heed_throttling(self, verdict: Verdict, now: float) -> None:
        if verdict.reaction is Reaction.SLOW:
            self._window.slow(now)
            pace = self._window.current
            logger.warning("throttled", channel=self._channel_id, code=verdict.code, pace=pace)
        else:
            self._window.passed(now)


class _Leaving:
    """Called before a request's first byte: the window counts it, and when that was stays known."""

    __slots__ = ("_window", "at")

    def __init__(self, window: Window):
        self._window = window
        self.at: int | None = None

    def __call__(self) -> None:
        self.at = epoch_ms()
        self._window.left(time.monotonic())


async def sleep_until(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set, at most after so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
