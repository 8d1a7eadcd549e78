"""The sender: one channel's messages out, at its pace, each at most once.

One asyncio loop a process, on a thread of its own; on it one coroutine an active channel, which
holds the channel's lease and repeats: claim a little, send it, hand the verdicts to the recorder.
HTTP happens on the loop, SQL on the writer's thread.

What makes a second request impossible: a claim is durable before its request leaves; a request
that may have left and has no readable answer becomes `unknown`, never pending; and the writer
moves a message only from the state and attempt the verdict belongs to.
"""

import asyncio
import os
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvloop

from broadcaster import log
from broadcaster.clock import epoch_ms
from broadcaster.config import Settings
from broadcaster.domain import pacing, phone, verdicts
from broadcaster.domain.verdicts import Move, Verdict
from broadcaster.store import (
    allowance,
    broadcasts,
    callbacks,
    channels,
    contacts,
    conversations,
    database,
    installation,
    leases,
    messages,
    suppressions,
)
from broadcaster.store.claims import PAIR_MS, Claim, Terms, claim
from broadcaster.store.conversations import SentMessage
from broadcaster.store.messages import Claimed
from broadcaster.store.models import Channel
from broadcaster.store.writer import Writer
from broadcaster.vault import Vault
from broadcaster.worker.presence import Presence

MOST_TRIES = 5
MOST_IN_FLIGHT = 1000
"""Open requests of a channel: a second of the highest pace at a second of latency."""
ANSWER_SECONDS = 30
LEASE_MS = 10_000
HEARTBEAT_SECONDS = 5
SWEEP_SECONDS = 0.5
"""Half of the second within which a broadcast that was scheduled a moment ago must start."""
GATHER_SECONDS = 0.02
"""How long verdicts wait for company before they are written."""
NEAR_WALL = 5000
"""New people left in the allowance from which on it is counted at every claim: more than all of a
portfolio's channels can reach in a second."""
WALL_SECONDS = 2
"""Between two looks whether the allowance has opened again, or the tier been raised."""
_LONGEST_HOLD = 30

logger = log.get(__name__)


@dataclass
class Line:
    """What the sender holds of a channel while it sends for it."""

    channel_id: int
    portfolio: str
    url: str
    headers: dict[str, str]
    window: pacing.Window
    news: asyncio.Event = field(default_factory=asyncio.Event)
    hand: deque[Claimed] = field(default_factory=deque)
    """Claimed ahead, waiting for their place in the window."""
    tier_size: int | None = None
    room: int = 0
    """How many new people the allowance still had when it was last counted, less what we took since."""
    counted_at: float = 0.0
    not_before: dict[str, int] = field(default_factory=dict)
    """People written to in the last seconds, and when they may be again (epoch ms)."""
    tidy_at: int = 0
    """When those who may be again are next taken out: thousands, too many to look at for each claim."""
    claimed: int = 0
    """All that is claimed and not yet settled: in hand, in flight, or waiting to be recorded."""
    idle_until: float = 0.0
    """After a claim found nothing due: not before this the next, monotonic seconds."""
    turn: int = 0
    unreached: int = 0
    """How often in a row Graph could not be reached."""
    held_until: float = 0.0
    trouble: str | None = None
    """What was last noted on the lease."""
    seen: float = 0.0
    """When the channel's row was last looked at, monotonic seconds."""


@dataclass(slots=True)
class Result:
    """The verdict over one message, waiting to be written."""

    line: Line
    message: Claimed
    verdict: Verdict
    at: int


class _Letter(aiohttp.BytesPayload):
    """A request body that tells when its bytes go out."""

    def __init__(self, body: bytes, on_leaving: Callable[[], None]):
        super().__init__(body, content_type="application/json")
        self._on_leaving = on_leaving
        self.left = False

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        # Set before the first byte: from here on no failure proves that nothing left.
        self.left = True
        self._on_leaving()
        await super().write_with_length(writer, content_length)


class Sender:
    """Sends what is due, from start() to stop()."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        writer: Writer | None = None,
        answer_seconds: float = ANSWER_SECONDS,
    ):
        """A running `writer` is shared; without one the sender has its own."""
        self._settings = settings
        self._vault = vault
        self._answer_seconds = answer_seconds
        self._presence = Presence(settings.data_dir)
        self._own_writer = None if writer else Writer()
        self._writer: Any = writer or self._own_writer
        self._lines: dict[int, Line | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sends: set[asyncio.Task[None] | None] = set()
        self._results: list[Result] = []
        self._windows: dict[int, pacing.Window] = {}
        self._breakers: dict[int, verdicts.Breaker] = {}
        self._loop = uvloop.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self.failure: BaseException | None = None

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

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main())
        except BaseException as error:
            self.failure = error
            logger.exception("the sender ended")
        finally:
            self._ready.set()
            self._loop.close()

    async def _main(self) -> None:
        self._stopping = asyncio.Event()
        self._recorded = asyncio.Event()
        self._key = await self._write(installation.key)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15, ttl_dns_cache=60)
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._answer_seconds, sock_connect=10),
        ) as self._session:
            recorder = asyncio.create_task(self._record_forever())
            await self._write(self._beat)
            self._ready.set()
            await self._sweep_until_stopped()
            while self._tasks:
                await asyncio.wait(self._tasks)
            recorder.cancel()
            await self._record_all()
            try:
                await self._write(leases.leave, self._presence.id)
            except Exception:
                logger.warning("the heartbeat stays until it is stale", exc_info=True)

    async def _write(self, job: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.wrap_future(self._writer.submit(job, *args))

    # The sweep

    async def _sweep_until_stopped(self) -> None:
        """Wake channels with due messages: huey's schedule may be lost, this is what cannot be."""
        beaten = time.monotonic()
        while not self._stopping.is_set():
            try:
                if time.monotonic() - beaten >= HEARTBEAT_SECONDS:
                    beaten = time.monotonic()
                    await self._write(self._beat)
                channel_ids, due = await self._write(self._look_around)
                for channel_id in channel_ids:
                    self._wake(channel_id)
                pause = SWEEP_SECONDS if due is None else min(SWEEP_SECONDS, (due - epoch_ms() + 1) / 1000)
            except Exception:
                logger.exception("sweep failed, trying again")
                pause = SWEEP_SECONDS
            await self._sleep(self._stopping, max(0.001, pause))

    def _look_around(self) -> tuple[list[int], int | None]:
        now = epoch_ms()
        window = self._settings.unknown_window * 1000
        closed = messages.close_unknown(window, max(allowance.DAY, window), now)
        if closed:
            broadcasts.finish(closed, now)
        broadcasts.expire(now)
        return broadcasts.channels_to_wake(now), broadcasts.next_due(now)

    def _beat(self) -> None:
        now = epoch_ms()
        leases.beat(self._presence.id, socket.gethostname(), os.getpid(), now)
        leases.forget_workers(now - 20 * HEARTBEAT_SECONDS * 1000)
        self._presence.tidy(leases.holders())

    def _wake(self, channel_id: int) -> None:
        if channel_id in self._lines:
            line = self._lines[channel_id]
            if line:
                line.idle_until = 0.0
                line.news.set()
        elif not self._stopping.is_set():
            self._lines[channel_id] = None
            task = asyncio.create_task(self._serve(channel_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # One channel

    async def _serve(self, channel_id: int) -> None:
        """Send for a channel until nothing of it is due, or another worker holds it."""
        line: Line | None = None
        try:
            line = self._lines[channel_id] = await self._write(self._take_over, channel_id)
            if line:
                await self._drive(line)
        except Exception:
            logger.exception("sending for a channel failed, the sweep will try again", channel=channel_id)
        finally:
            try:
                if line:
                    await self._let_go(line)
            finally:
                # Whatever the database says, the sweep must be able to wake this channel again.
                del self._lines[channel_id]
        if line and line.news.is_set() and not self._stopping.is_set():
            self._wake(channel_id)

    def _take_over(self, channel_id: int) -> Line | None:
        """Take the lease; what a dead holder left in our channel is unknown from here on."""
        now = epoch_ms()
        row = channels.get(channel_id)
        pace = self._pace(row)
        dead = self._presence.dead(leases.holders())
        former = leases.take(channel_id, self._presence.id, pace, dead, now, now + LEASE_MS)
        if former is None:
            return None
        left_behind = messages.lost_by_the_dead(channel_id, now)
        if left_behind:
            logger.warning("messages of a dead worker are unknown", channel=channel_id, count=left_behind)
        monotonic = time.monotonic()
        line = Line(
            channel_id=channel_id,
            portfolio=row.portfolio,
            url=f"{self._settings.graph_url}/{self._settings.graph_version}/{row.phone_number_id}/messages",
            headers=self._headers(row),
            window=self._window(channel_id, pace, former, now, left_behind > 0),
            tier_size=self._tier_size(row),
            not_before=self._written_to(channel_id, former, now),
            seen=monotonic,
        )
        return line

    def _window(
        self, channel_id: int, pace: float, former: leases.PreviousHolder, now: int, left_behind: bool
    ) -> pacing.Window:
        """The window we last sent through, or a new one that respects what another worker sent.

        Kept from line to line, so that neither a second's sends nor Meta's throttling are forgotten.
        """
        known = self._windows.get(channel_id)
        if known and former.owner == self._presence.id:
            known.set_pace(pace)
            return known
        monotonic = time.monotonic()
        window = self._windows[channel_id] = pacing.Window(pace, monotonic)
        # What a claim took may leave a window later; what the dead left may just have left.
        if left_behind or now - former.claimed_at < 2000 * window.length:
            window.hold(monotonic + window.length)
        return window

    def _headers(self, row: Channel) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._vault.unlock(row.access_token)}"}

    def _written_to(self, channel_id: int, former: leases.PreviousHolder, now: int) -> dict[str, int]:
        """Whom another worker wrote to a moment ago, if one did."""
        if now - former.claimed_at > PAIR_MS:
            return {}
        return conversations.recent(channel_id, now - PAIR_MS, PAIR_MS)

    def _tier_size(self, row: Channel) -> int | None:
        return pacing.tier_size(pacing.known_tier(row.tier, self._settings.default_tier))

    def _pace(self, row: Channel) -> float:
        tier = pacing.known_tier(row.tier, self._settings.default_tier)
        return pacing.pace_of(row.throughput, row.coexistence, tier, row.pace_override)

    async def _drive(self, line: Line) -> None:
        """Claim a little ahead and let it out at the pace, until nothing is due or the lease is lost."""
        claiming: asyncio.Task[bool] | None = None
        keeping = asyncio.create_task(self._keep(line))
        try:
            while not self._stopping.is_set() and not keeping.done():
                now = time.monotonic()
                if claiming and claiming.done():
                    if not claiming.result():
                        return
                    claiming = None
                if line.window.is_held(now) or now - line.seen > LEASE_MS / 1000 - 2:
                    # Not for a while, or we slept so long that the lease may be another's by now.
                    self._put_back(line)
                elif claiming is None and self._wants_more(line, now):
                    claiming = asyncio.create_task(self._claim(line))
                self._let_out(line)
                await self._await_change(line, claiming)
        finally:
            keeping.cancel()
            ended, _ = await asyncio.wait((keeping, claiming) if claiming else (keeping,))
            for task in ended:
                if not task.cancelled() and task.exception():
                    logger.warning("a channel was let go", channel=line.channel_id, exc_info=task.exception())
            self._put_back(line)

    async def _keep(self, line: Line) -> None:
        """Hold the lease and follow the channel's row; ends when another worker took over."""
        held = True
        while held:
            await asyncio.sleep(1)
            held = await self._write(self._look_again, line)

    def _wants_more(self, line: Line, now: float) -> bool:
        """Whether to claim: a little ahead, so that a message is at hand when its place opens.

        Never more than a tenth of a second's pace, which may still leave after a stop; a slow
        channel claims when the place is open, for what is in hand at a crash becomes unknown.
        """
        if line.claimed >= MOST_IN_FLIGHT or now < line.idle_until:
            return False
        step = line.window.step
        return not line.hand and line.window.room(now) > 0 if step == 1 else len(line.hand) <= step // 2

    def _let_out(self, line: Line) -> None:
        for _ in range(min(len(line.hand), line.window.room(time.monotonic()))):
            line.window.take()
            self._sends.add(asyncio.create_task(self._send(line, line.hand.popleft())))

    async def _await_change(self, line: Line, claiming: "asyncio.Task[bool] | None") -> None:
        """Sleep until something can be let out or claimed."""
        now = time.monotonic()
        if line.hand or (not claiming and now >= line.idle_until and line.claimed < MOST_IN_FLIGHT):
            await asyncio.sleep(min(0.5, line.window.wait(now)))
        elif claiming:
            await asyncio.wait((claiming,), timeout=1)
        else:
            line.news.clear()
            await self._sleep(line.news, 0.25)

    def _look_again(self, line: Line) -> bool:
        """Renew the lease and follow changes of pace and token; False if another worker took over."""
        now, monotonic = epoch_ms(), time.monotonic()
        row = channels.get(line.channel_id)
        line.headers = self._headers(row)
        pace, line.tier_size = self._pace(row), self._tier_size(row)
        if pace != line.window.base:
            line.window.set_pace(pace)
        line.window.recover(monotonic, monotonic - line.seen)
        line.seen = monotonic
        trouble = "Graph cannot be reached, trying again" if line.unreached else None
        if trouble != line.trouble:
            leases.note_trouble(line.channel_id, trouble)
            line.trouble = trouble
        return leases.renew(line.channel_id, self._presence.id, line.window.current, now + LEASE_MS)

    async def _claim(self, line: Line) -> bool:
        """Take the next messages in hand; False if the lease is lost or nothing is left to do."""
        room = min(line.window.step, MOST_IN_FLIGHT - line.claimed)
        found: Claim | None = await self._write(self._claim_now, line, room)
        if found is None:
            return False
        batch = found.messages
        # Only now that it is durable: a claim may be run again when others of its commit fail.
        now = epoch_ms()
        line.room -= found.reserved
        if now >= line.tidy_at:
            line.not_before = {who: at for who, at in line.not_before.items() if at > now}
            line.tidy_at = now + 1000
        line.not_before.update((row.recipient, row.claimed_at + PAIR_MS) for row in batch)
        line.turn += 1
        line.claimed += len(batch)
        line.hand.extend(batch)
        if not batch and not found.passed_over:
            # Something may come back from its flight, or a retry come due; the sweep finds the rest.
            line.idle_until = time.monotonic() + (WALL_SECONDS if found.is_walled else 0.25)
        return bool(batch or line.claimed or found.is_walled or found.passed_over)

    def _claim_now(self, line: Line, room: int) -> Claim | None:
        now = epoch_ms()
        terms = Terms(line.portfolio, self._allowance(line, now), line.not_before)
        turn, pace = line.turn, line.window.current
        return claim(line.channel_id, self._presence.id, room, turn, pace, terms, now, now + LEASE_MS)

    def _allowance(self, line: Line, now: int) -> int | None:
        """How many new people may be reached now.

        Counting those of 24 h takes milliseconds where they are a hundred thousand, so far from the
        wall a count serves for a second: nobody else can come near it in that time.
        """
        if line.tier_size is None:
            return None
        monotonic = time.monotonic()
        if line.room < NEAR_WALL or monotonic - line.counted_at > 1:
            line.room = line.tier_size - allowance.people_reached(line.portfolio, now - allowance.DAY)
            line.counted_at = monotonic
        return max(0, line.room)

    def _put_back(self, line: Line) -> None:
        """What is in hand and has not left is pending again: it will be a while until it may leave."""
        now = epoch_ms()
        self._results += [Result(line, claimed, verdicts.RETURNED, now) for claimed in line.hand]
        line.hand.clear()
        self._recorded.set()

    async def _let_go(self, line: Line) -> None:
        """Wait for what is in flight, then free the lease."""
        while line.claimed > 0:
            line.news.clear()
            await line.news.wait()
        await self._write(leases.release, line.channel_id, self._presence.id)

    @staticmethod
    async def _sleep(event: asyncio.Event, seconds: float) -> None:
        """Until the event is set, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    # One message

    async def _send(self, line: Line, claimed: Claimed) -> None:
        letter = _Letter(self._compose(claimed), lambda: line.window.left(time.monotonic()))
        try:
            async with self._session.post(
                line.url, data=letter, headers=line.headers, allow_redirects=False
            ) as response:
                verdict = verdicts.judge(response.status, await response.read())
        except Exception as error:
            if not isinstance(error, (aiohttp.ClientError, TimeoutError, OSError)):
                logger.exception("a send failed in an unforeseen way", message=claimed.id)
            verdict = verdicts.LOST if letter.left else verdicts.UNREACHED
        if not letter.left:
            line.window.give_back()
        self._react(line, verdict)
        self._results.append(Result(line, claimed, verdict, epoch_ms()))
        self._recorded.set()
        self._sends.discard(asyncio.current_task())

    def _compose(self, claimed: Claimed) -> bytes:
        """The request body. Only `content` comes from outside, and it is JSON of our own making;
        recipients have passed phone.recipient."""
        field_name = "recipient" if phone.is_user_id(claimed.recipient) else "to"
        return (
            '{"messaging_product":"whatsapp","recipient_type":"individual",'
            f'"{field_name}":"{claimed.recipient}","type":"template","template":{claimed.content},'
            f'"biz_opaque_callback_data":"{self._key}.{claimed.id}.{claimed.attempt}"}}'
        ).encode()

    def _react(self, line: Line, verdict: Verdict) -> None:
        """What a verdict means for the messages behind this one."""
        now = time.monotonic()
        if verdict.move is Move.SLOW:
            line.window.slow(now)
            logger.warning("throttled", channel=line.channel_id, code=verdict.code, pace=line.window.current)
        elif verdict.move is Move.UNREACHED:
            # Nothing left and nothing would: hold the line instead of burning tries.
            if now >= line.held_until:
                line.held_until = now + min(_LONGEST_HOLD, 2.0 ** min(line.unreached, 5))
                line.window.hold(line.held_until)
                line.unreached += 1
        else:
            line.unreached = 0
            line.window.passed(now)

    # The recorder

    async def _record_forever(self) -> None:
        while True:
            await self._recorded.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._recorded.clear()
            await self._record_all()

    async def _record_all(self) -> None:
        """Write all verdicts at hand, however long the database refuses: they are only here."""
        results, self._results = self._results, []
        await self._persist(results)
        for result in results:
            result.line.claimed -= 1
            result.line.news.set()

    async def _break(self, results: list[Result], ended: list[int]) -> None:
        """Hold broadcasts that burn their list; counted once, after what they are counted by is durable."""
        details = _trips(results, self._breakers)
        for broadcast_id in ended:
            self._breakers.pop(broadcast_id, None)
        if details:
            try:
                await self._write(_hold_all, details)
            except Exception:
                logger.exception("broadcasts that fail alike could not be held", broadcasts=list(details))

    async def _persist(self, results: list[Result]) -> None:
        """Write them, whatever it takes: again while the database refuses, one by one if one spoils all."""
        while results:
            try:
                ended = await self._write(record, results)
            except Exception as error:
                logger.exception("verdicts could not be written", count=len(results))
                if database.is_trouble(error):
                    await asyncio.sleep(1)
                elif len(results) > 1:
                    for result in results:
                        await self._persist([result])
                    return
                else:
                    # An answer that cannot be stored is as good as none.
                    results[0].verdict = verdicts.UNREADABLE
                    await asyncio.sleep(0.1)
            else:
                await self._break(results, ended)
                return


def record(results: list[Result]) -> list[int]:
    """Settle each message as its verdict says, pause what must pause, finish what is done; returns the
    broadcasts that have ended."""
    now = epoch_ms()
    if log.is_detailed():
        _log(results)
    sent, failed, put_back, lost, reached, refused, left = [], [], [], [], [], [], []
    for line, claimed, verdict, at in ((r.line, r.message, r.verdict, r.at) for r in results):
        mark = (claimed.id, claimed.attempt, now)
        error = (verdict.code, verdict.text)
        last_try = claimed.tries + 1 >= MOST_TRIES
        if verdict.move is Move.SENT:
            sent.append((*mark, verdict.wamid or "", at))
            left.append(SentMessage(line.channel_id, claimed.recipient, at, claimed.broadcast_id, claimed.id))
        elif verdict.move is Move.LOST:
            lost.append((*mark, *error))
        elif verdict.move is Move.FAIL or (verdict.move in (Move.RETRY, Move.PAIR) and last_try):
            failed.append((*mark, *error))
        else:
            put_back.append((*mark, *error, at + _delay(claimed, verdict), _cost(verdict)))
        if verdict.move in (Move.SENT, Move.LOST):
            reached.append((line.portfolio, claimed.recipient, at))
        else:
            refused.append((line.portfolio, claimed.recipient, claimed.claimed_at))
    # A receipt may have been faster than the answer, and its consequences drawn already.
    first = messages.in_flight([row.message_id for row in left])
    messages.sent(sent)
    messages.failed(failed)
    messages.put_back(put_back)
    messages.lost(lost)
    allowance.not_reached(refused)
    allowance.reached(reached)
    conversations.note_sent([row for row in left if row.message_id in first], now)
    callbacks.catch_up([row[3] for row in sent], now)
    contacts.note_wa_ids(_wa_ids(results))
    _pause(results, now)
    _opt_out(results, now)
    broadcasts.tell_messages("message.sent", [row.message_id for row in left if row.message_id in first], now)
    broadcasts.tell_messages("message.failed", [row[0] for row in failed], now)
    return broadcasts.finish({r.message.broadcast_id for r in results}, now)


def _opt_out(results: list[Result], now: int) -> None:
    """Whom Meta calls opted out gets no more marketing."""
    people = [r.message.recipient for r in results if r.verdict.code in verdicts.OPT_OUTS]
    if people:
        suppressions.add(people, "opted out at Meta", "answer", now)


def _log(results: list[Result]) -> None:
    for line, claimed, verdict in ((r.line, r.message, r.verdict) for r in results):
        logger.debug(
            "answered",
            channel=line.channel_id,
            broadcast_row=claimed.broadcast_id,
            message=claimed.id,
            attempt=claimed.attempt,
            to=claimed.recipient,
            verdict=verdict.move.value,
            code=verdict.code,
            wamid=verdict.wamid,
        )


def _wa_ids(results: list[Result]) -> list[tuple[str, str]]:
    """People whom Meta calls by another number than we do."""
    return [
        (r.message.recipient, r.verdict.wa_id)
        for r in results
        if r.verdict.wa_id and r.message.recipient.startswith("+") and r.verdict.wa_id != r.message.recipient
    ]


def _pause(results: list[Result], now: int) -> None:
    """Hold what would fail in the same way: the broadcast for its template, else the whole channel."""
    for verdict, line, claimed in ((r.verdict, r.line, r.message) for r in results):
        if verdict.move is not Move.PAUSE:
            continue
        reason, detail = verdict.reason or "paused", f"{verdict.code}: {verdict.text}"
        if broadcasts.hold(reason, channels.get(line.channel_id), claimed.broadcast_id, detail, now):
            logger.warning("paused", channel=line.channel_id, reason=reason, detail=detail)


def _trips(results: list[Result], breakers: dict[int, verdicts.Breaker]) -> dict[int, str]:
    """Broadcasts whose messages fail for the way they are made, and why each is to be held."""
    found = {}
    for verdict, claimed in ((r.verdict, r.message) for r in results):
        if verdict.move not in (Move.SENT, Move.FAIL):
            continue
        breaker = breakers.setdefault(claimed.broadcast_id, verdicts.Breaker())
        if breaker.trips(verdict.code if verdict.move is Move.FAIL else None):
            found[claimed.broadcast_id] = f"too many fail alike, {verdict.code}: {verdict.text}"
            # Resumed, it is judged anew.
            breakers.pop(claimed.broadcast_id, None)
    return found


def _hold_all(details: dict[int, str]) -> None:
    now = epoch_ms()
    for broadcast_id, detail in details.items():
        if broadcasts.pause(broadcast_id, "template", detail, now):
            logger.warning("broadcast paused", broadcast=broadcast_id, detail=detail)


def _cost(verdict: Verdict) -> int:
    """Whether being put back uses up a try: throttling and an unreachable Graph do not."""
    return int(verdict.move in (Move.RETRY, Move.PAIR))


def _delay(claimed: Claimed, verdict: Verdict) -> int:
    """Milliseconds until a message that was put back may be claimed again."""
    if verdict.move is Move.RETRY:
        return pacing.backoff(claimed.tries + 1, random.random())
    if verdict.move is Move.PAIR:
        return pacing.pair_backoff(claimed.tries)
    if verdict.move in (Move.PAUSE, Move.RETURNED):
        return 0
    return 1000
