"""The recorder: gathers Meta's answers on the loop and has them settled, many in one commit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from broadcaster import log
from broadcaster.clock import epoch_ms
from broadcaster.domain import verdicts
from broadcaster.domain.breaker import Breaker
from broadcaster.settlement import lifecycle, outcomes
from broadcaster.settlement.outcomes import Answer
from broadcaster.store import database

GATHER_SECONDS = 0.02
"""How long answers wait for company before they are written."""

Write = Callable[..., Awaitable[Any]]
"""Runs a job on the writer's thread and returns what it returned, once that is durable."""

logger = log.get(__name__)


class _Waiting(NamedTuple):
    """An answer that is not written yet, and whom to tell when it is."""

    answer: Answer
    settled: Callable[[], None]


class Recorder:
    """Writes answers, whatever it takes: until they are durable they are only here.

    Lives on the loop; its jobs run on the writer's thread.
    """

    def __init__(self, write: Write):
        self._write = write
        self._waiting: list[_Waiting] = []
        self._news = asyncio.Event()
        self._breakers: dict[int, Breaker] = {}

    def add(self, answer: Answer, settled: Callable[[], None]) -> None:
        """Have an answer written; `settled` is called when it is durable."""
        self._waiting.append(_Waiting(answer, settled))
        self._news.set()

    async def run(self) -> None:
        """Write answers as they come, until cancelled."""
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._news.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write all answers at hand, however long the database refuses."""
        waiting, self._waiting = self._waiting, []
        await self._persist([one.answer for one in waiting])
        for one in waiting:
            one.settled()

    async def _persist(self, answers: list[Answer]) -> None:
        """Write them: again while the database refuses, one by one if one spoils all."""
        while answers:
            try:
                ended = await self._write(settle, answers)
            except Exception as error:
                logger.exception("answers could not be written", count=len(answers))
                if database.is_trouble(error):
                    await asyncio.sleep(1)
                elif len(answers) > 1:
                    for answer in answers:
                        await self._persist([answer])
                    return
                else:
                    # An answer that cannot be stored is as good as none.
                    answers = [answers[0]._replace(verdict=verdicts.UNREADABLE)]
                    await asyncio.sleep(0.1)
            else:
                await self._break(answers, ended)
                return

    async def _break(self, answers: list[Answer], ended: list[int]) -> None:
        """Hold broadcasts whose messages fail for the way they are made; counted once, after the answers
        are durable."""
        details = _trips(answers, self._breakers)
        for broadcast_id in ended:
            self._breakers.pop(broadcast_id, None)
        if details:
            try:
                await self._write(hold_all, details)
            except Exception:
                logger.exception("broadcasts that fail alike could not be held", broadcasts=list(details))


def settle(answers: list[Answer]) -> list[int]:
    """Settle each message as its answer says; returns the broadcasts that have ended. A writer's job."""
    return outcomes.settle(answers, epoch_ms())


def hold_all(details: dict[int, str]) -> None:
    """Hold these broadcasts, each for its reason. A writer's job."""
    now = epoch_ms()
    for broadcast_id, detail in details.items():
        if lifecycle.pause(broadcast_id, "template", detail, now):
            logger.warning("broadcast paused", broadcast=broadcast_id, detail=detail)


def _trips(answers: list[Answer], breakers: dict[int, Breaker]) -> dict[int, str]:
    """Broadcasts whose messages fail for the way they are made, and why each is to be held."""
    found = {}
    for verdict, claimed in ((one.verdict, one.message) for one in answers):
        if verdict.reaction not in (verdicts.Reaction.SENT, verdicts.Reaction.FAIL):
            continue
        breaker = breakers.setdefault(claimed.broadcast_id, Breaker())
        if breaker.trips(verdict.code if verdict.reaction is verdicts.Reaction.FAIL else None):
            found[claimed.broadcast_id] = f"too many fail alike, {verdict.code}: {verdict.text}"
            # Resumed, it is judged anew.
            breakers.pop(claimed.broadcast_id, None)
    return found
