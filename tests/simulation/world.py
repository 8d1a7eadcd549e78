"""A world: the engine's rules over the real store, with a clock of its own and faults drawn from a seed.

What sends here is the sender's own jobs (claims, leases, settlement) without its loop and without a network.
Meta is a list of what was asked of it, and judges by that list alone: nobody twice, no more people than the
allowance, six seconds between two messages to one person, nothing to whom it must not go.
"""

import json
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from broadcaster.domain import names as domain_names
from broadcaster.domain import verdicts
from broadcaster.domain.decide import Claimed
from broadcaster.domain.receipts import Receipt
from broadcaster.domain.retries import PAIR_MS
from broadcaster.settlement import lifecycle, opt_outs, outcomes
from broadcaster.store import (
    allowance,
    broadcasts,
    channels,
    counters,
    database,
    installation,
    people,
)
from broadcaster.store.messages import Draft
from broadcaster.store.models import Broadcast, Channel, Message, Template
from broadcaster.worker import channel_jobs
from broadcaster.worker.channel_jobs import LEASE_MS, Order

WORLD_MS = 400 * 86_400_000
"""Apart in time, worlds that share a database do not meet."""
_WINDOW_MS, _HARD_MS = 900_000, 86_400_000
_STALE_MS = LEASE_MS - 2000
_STEPS, _LAST_STEPS = 55, 3000
_JUMPS = (50, 400, 2000, 7000, 60_000, 1_200_000)
_ENDS = 3


class Broken(AssertionError):
    """A rule of the engine does not hold; the seed of the world says how to see it again."""


@dataclass
class Request:
    """What Meta was asked: a message of ours, and whether it took it over."""

    message: Claimed
    channel_id: int
    at: int
    accepted: bool
    code: int | None
    wamid: str
    verdict: verdicts.Verdict
    is_forgiven: bool = False
    """Whether sending the message again was asked for since, or it was certainly refused."""


@dataclass
class Sender:
    """One worker's hold on one channel."""

    owner: str
    not_before: dict[int, int]
    held_until: int
    read_at: int
    hand: deque[Claimed] = field(default_factory=deque)
    turn: int = 0


class World:
    """Channels of one portfolio, some people, some broadcasts, two workers, and what befalls them."""

    def __init__(self, seed: int, now: int):
        self.seed = seed
        self.now = now
        self._chance = random.Random(seed)
        self._portfolio = f"p{seed}"
        self._tier_size = self._chance.choice((None, 3, 5, 8))
        self._channels = [self._channel(place) for place in range(self._chance.choice((1, 1, 2)))]
        self._people = [self._person(place) for place in range(self._chance.randint(2, 8))]
        self._broadcasts: list[int] = []
        self._policies: dict[int, str] = {}
        self._owners = [f"w{seed}.0", f"w{seed}.1"]
        self._dead: set[str] = set()
        self._born = 2
        self._senders: dict[tuple[str, int], Sender] = {}
        self._requests: list[Request] = []
        self._answers: list[tuple[int, Request]] = []
        self._receipts: list[tuple[int, Receipt]] = []
        self._unwilling: set[int] = set()
        self._stopped: dict[int, int] = {}

    # What there is

    def _channel(self, place: int) -> Channel:
        tier = "TIER_UNLIMITED" if self._tier_size is None else f"TIER_{self._tier_size}"
        row = channels.save(
            {
                "phone_number_id": f"{self.seed}-{place}",
                "waba_id": f"a{self.seed}",
                "portfolio": self._portfolio,
                "tier": tier,
                "status": "CONNECTED",
                "access_token": "x",
                "pace_override": 80.0,
            },
            self.now,
        )
        if place == 0:
            for name, category in (("news", "MARKETING"), ("order", "UTILITY")):
                facts = {"name": name, "category": category, "language": "en", "status": "APPROVED"}
                Template.create(waba_id=f"a{self.seed}", components="[]", synced_at=self.now, **facts)
        return row

    def _person(self, place: int) -> tuple[str, ...]:
        """The names of one person: one number, two spellings of it, or a number and a user id."""
        digits = f"{(self.seed * 16 + place) % 10_000_000:07d}"
        match place % 3:
            case 0:
                return (f"+55116{digits}", f"+551196{digits}")
            case 1:
                return (f"+90555{digits}",)
        pair = (f"+90556{digits}", f"TR.{self.seed}x{place}")
        with database.transaction():
            people.add_new([pair[0]], self.now)
            people.learn([domain_names.Names(*pair)], self._portfolio, self.now)
        return pair

    # What happens

    def run(self) -> None:
        """Let it all happen, then let everything end; raises Broken."""
        happenings: list[tuple[int, Callable[[], None]]] = [
            (5, self._pass_time),
            (2, self._accept),
            (7, self._claim),
            (8, self._send),
            (5, self._answer),
            (4, self._receive),
            (1, self._crash),
            (1, self._lose_lease),
            (1, self._stop),
            (1, self._pause),
            (1, self._resume),
            (1, self._retry),
            (1, self._opt_out),
            (1, self._sweep),
        ]
        weights = [weight for weight, _ in happenings]
        self._accept()
        for _ in range(_STEPS):
            self._chance.choices(happenings, weights)[0][1]()
        self._end()
        self._check_end()

    def _pass_time(self) -> None:
        self.now += self._chance.choice(_JUMPS)

    def _accept(self) -> None:
        if len(self._broadcasts) >= 4:
            return
        is_marketing = self._chance.random() < 0.5
        template = "news" if is_marketing else "order"
        content = json.dumps({"name": template, "language": {"code": "en"}}, separators=(",", ":"))
        chosen = self._chance.sample(self._people, self._chance.randint(1, len(self._people)))
        drafts = [Draft(self._chance.choice(names), content, is_marketing=is_marketing) for names in chosen]
        due_at = self.now + self._chance.choice((0, 0, 0, 5000, 90_000))
        policy = self._chance.choice(("fail", "fail", "resend", "hold"))
        number = len(self._broadcasts)
        with database.transaction():
            row = broadcasts.accept(
                {
                    "public_id": f"s{self.seed}-{number}",
                    "channel_id": self._chance.choice(self._channels).id,
                    "template_name": template,
                    "template_language": "en",
                    "priority": self._chance.choice((0, 0, 1)),
                    "duplicates": 0,
                    "scheduled": due_at > self.now,
                    "due_at": due_at,
                    "expire_at": due_at + 3_000_000 if self._chance.random() < 0.2 else None,
                    "on_unknown": policy,
                },
                drafts,
                self.now,
            )
        self._broadcasts.append(row.id)
        self._policies[row.id] = policy

    def _claim(self) -> None:
        owner = self._chance.choice(self._owners)
        channel = self._chance.choice(self._channels)
        sender = self._senders.get((owner, channel.id)) or self._take_over(owner, channel.id)
        if sender is None or self.now < sender.held_until or len(sender.hand) > 3:
            return
        order = Order(
            channel.id,
            owner,
            self._portfolio,
            self._chance.randint(1, 4),
            sender.turn,
            80.0,
            self._tier_size,
            None,
            sender.not_before,
        )
        with database.transaction():
            [taking] = channel_jobs.claim([order])
        sender.turn += 1
        if taking is None:
            self._put_back(sender)
            del self._senders[owner, channel.id]
            return
        sender.read_at = self.now
        for message in taking.claim.messages:
            self._check_claim(message)
            sender.not_before[message.person] = message.claimed_at + PAIR_MS
            sender.hand.append(message)

    def _take_over(self, owner: str, channel_id: int) -> Sender | None:
        with database.transaction():
            taken = channel_jobs.take_over(channel_id, owner, Path())
        if taken is None:
            return None
        # As windows.py holds a window that others sent through.
        is_warm = taken.abandoned or self.now - taken.previous.claimed_at < 2100
        sender = Sender(owner, dict(taken.not_before), self.now + 1100 if is_warm else 0, self.now)
        self._senders[owner, channel_id] = sender
        return sender

    def _send(self) -> None:
        ready = [(key, sender) for key, sender in self._senders.items() if sender.hand]
        if not ready:
            return
        (_, channel_id), sender = self._chance.choice(ready)
        if self.now - min(sender.read_at, sender.hand[0].claimed_at) > _STALE_MS:
            # As the sender does that slept too long; what is in hand leaves within a window.
            self._put_back(sender)
            return
        message = sender.hand.popleft()
        request = self._ask_meta(message, channel_id)
        if self._chance.random() < 0.12:
            # No answer ever comes; ours says so after its time.
            request.verdict = verdicts.LOST
        self._answers.append((self.now + self._chance.choice((5, 300, 5000)), request))

    def _ask_meta(self, message: Claimed, channel_id: int) -> Request:
        code = None if self._chance.random() < 0.7 else self._chance.choice((131026, 131016, 131056, 130429))
        wamid = f"wamid.{self.seed}.{len(self._requests)}"
        if code is None:
            body: dict[str, Any] = {"messages": [{"id": wamid}]}
        else:
            body = {"error": {"code": code, "message": "no"}}
        verdict = verdicts.judge(200 if code is None else 400, json.dumps(body).encode())
        request = Request(message, channel_id, self.now, code is None, code, wamid, verdict)
        self._check_request(request)
        self._requests.append(request)
        return request

    def _answer(self) -> None:
        due = [one for one in self._answers if one[0] <= self.now]
        if not due:
            return
        some = self._chance.sample(due, self._chance.randint(1, len(due)))
        self._answers = [one for one in self._answers if one not in some]
        self._settle([request for _, request in some])

    def _settle(self, requests: list[Request]) -> None:
        answers = [
            outcomes.Answer(one.channel_id, self._portfolio, one.message, one.verdict, self.now)
            for one in requests
        ]
        with database.transaction():
            outcomes.settle(answers, self.now)
        for one in requests:
            if one.code is not None and one.verdict is not verdicts.LOST:
                one.is_forgiven = True
            if one.accepted:
                self._foresee_receipts(one)

    def _foresee_receipts(self, request: Request) -> None:
        words = self._chance.choice(
            ((), ("sent",), ("sent", "delivered"), ("sent", "delivered", "read"), ("sent", "failed"))
        )
        tag = f"{installation.key()}.{request.message.id}.{request.message.attempt}"
        for word in words:
            code = "131026" if word == "failed" else None
            with_tag = tag if self._chance.random() < 0.8 else None
            receipt = Receipt(request.wamid, word, self.now, with_tag, code, code and "unreachable")
            for _ in range(self._chance.choice((1, 1, 2))):
                self._receipts.append((self.now + self._chance.choice((1, 900, 40_000, 2_000_000)), receipt))

    def _receive(self) -> None:
        due = [one for one in self._receipts if one[0] <= self.now]
        if not due:
            return
        some = self._chance.sample(due, self._chance.randint(1, len(due)))
        for one in some:
            self._receipts.remove(one)
        with database.transaction():
            outcomes.receive([receipt for _, receipt in some], self.now)

    def _put_back(self, sender: Sender) -> None:
        rows = [outcomes.Answer(0, self._portfolio, one, verdicts.RETURNED, self.now) for one in sender.hand]
        sender.hand.clear()
        if rows:
            with database.transaction():
                outcomes.settle(rows, self.now)

    def _crash(self) -> None:
        """A worker dies: its hand is lost, and so are the answers to what it asked."""
        place = self._chance.randrange(2)
        owner = self._owners[place]
        mine = {key for key in self._senders if key[0] == owner}
        ids = {channel_id for _, channel_id in mine}
        for key in mine:
            del self._senders[key]
        lost = [one for one in self._answers if one[1].channel_id in ids]
        self._answers = [one for one in self._answers if one not in lost]
        for _, request in lost:
            if request.accepted:
                self._foresee_receipts(request)
        self._dead.add(owner)
        self._owners[place] = f"w{self.seed}.{self._born}"
        self._born += 1

    def _lose_lease(self) -> None:
        """A worker sleeps until its leases have run out."""
        self.now += LEASE_MS + self._chance.choice((0, 5000))

    def _stop(self) -> None:
        if self._chance.random() < 0.4 and self._broadcasts:
            broadcast_id = self._chance.choice(self._broadcasts)
            with database.transaction():
                lifecycle.stop(broadcast_id, self.now)
            self._stopped.setdefault(broadcast_id, self.now)

    def _pause(self) -> None:
        if self._broadcasts:
            with database.transaction():
                lifecycle.pause(self._chance.choice(self._broadcasts), "manual", None, self.now)

    def _resume(self) -> None:
        with database.transaction():
            for broadcast_id in self._broadcasts:
                broadcasts.resume(broadcast_id)

    def _retry(self) -> None:
        if not self._broadcasts:
            return
        broadcast_id = self._chance.choice(self._broadcasts)
        code = self._chance.choice((None, "131026", "OUTCOME_UNKNOWN"))
        mine = Message.broadcast_id == broadcast_id
        before = {row.id for row in Message.select().where(mine & (Message.state != "pending"))}
        with database.transaction():
            broadcasts.retry(broadcast_id, code, self.now)
        again = {row.id for row in Message.select().where(mine & (Message.state == "pending"))} & before
        for request in self._requests:
            if request.message.id in again:
                request.is_forgiven = True
        if again:
            self._stopped.pop(broadcast_id, None)

    def _opt_out(self) -> None:
        place = self._chance.randrange(len(self._people))
        name = self._chance.choice(self._people[place])
        if place in self._unwilling and self._chance.random() < 0.5:
            opt_outs.lift(name, "by hand", self.now)
            self._unwilling.discard(place)
        else:
            opt_outs.suppress([name], "by hand", "api", self.now)
            self._unwilling.add(place)

    def _sweep(self) -> None:
        mine = (Message.broadcast_id.in_(self._broadcasts)) & (Message.state == "unknown")
        unknown = {row.id for row in Message.select().where(mine)}
        with database.transaction():
            lifecycle.expire(self.now)
            outcomes.close_unknown(_WINDOW_MS, _HARD_MS, self.now)
        again = Message.select().where(Message.id.in_(unknown) & (Message.state == "pending"))
        for row in again:
            self._expect(
                self._policies[row.broadcast_id] == "resend", "sent again though nobody asked", row.id
            )
            earlier = [one for one in self._requests if one.message.id == row.id]
            self._expect(bool(row.resent), "sent again without a mark", row.id)
            for request in earlier:
                request.is_forgiven = True

    # What must hold

    def _expect(self, holds: bool, told: str, *about: Any) -> None:
        if not holds:
            raise Broken(f"world {self.seed}: {told} {about}")

    def _place_of(self, name: str) -> int:
        return next(place for place, names in enumerate(self._people) if name in names)

    def _check_claim(self, message: Claimed) -> None:
        row = Broadcast.get_by_id(message.broadcast_id)
        self._expect(row.due_at <= self.now, "claimed before its time", message.id)
        self._expect(row.stopped_at is None, "claimed after a stop", message.id)
        self._expect(row.paused_at is None, "claimed while paused", message.id)
        self._expect(row.expire_at is None or row.expire_at > self.now, "claimed when over", message.id)
        is_marketing = '"news"' in message.content
        unwilling = self._place_of(message.recipient) in self._unwilling
        self._expect(not (is_marketing and unwilling), "marketing to somebody who opted out", message)

    def _check_request(self, request: Request) -> None:
        message, place = request.message, self._place_of(request.message.recipient)
        earlier = [one for one in self._requests if one.message.id == message.id and not one.is_forgiven]
        self._expect(not earlier, "asked twice", message, earlier)
        for one in self._requests:
            if one.channel_id == request.channel_id and self._place_of(one.message.recipient) == place:
                is_apart = message.claimed_at - one.message.claimed_at >= PAIR_MS
                self._expect(is_apart or not one.accepted, "two to one person within six seconds", message)
        if self._tier_size is not None and request.accepted:
            recent = {
                self._place_of(one.message.recipient)
                for one in self._requests
                if one.accepted and one.at > self.now - allowance.DAY
            }
            self._expect(len(recent | {place}) <= self._tier_size, "more people than the tier", recent)

    # How it ends

    def _end(self) -> None:
        """Everything goes well from here on: all must come to its end."""
        self._resume()
        seen, quiet = len(self._requests), 0
        for step in range(_LAST_STEPS):
            if not self._is_open():
                return
            # Nothing left for a while: what waits for its time, or for the allowance, waits long.
            quiet = quiet + 1 if len(self._requests) == seen and not self._answers else 0
            seen = len(self._requests)
            self.now += 3_700_000 if quiet > 3 else (50, 2000, 7000)[step % _ENDS]
            for broadcast_id in self._broadcasts if step % 30 == 29 else ():
                # Whoever holds what is unknown has to stop it one day.
                if self._policies[broadcast_id] == "hold":
                    with database.transaction():
                        lifecycle.stop(broadcast_id, self.now)
            for happening in (self._claim, self._send, self._answer, self._receive):
                happening()
            if step % 10 == 0:
                self._sweep()
        raise Broken(f"world {self.seed}: it does not end: {self._states()}")

    def _is_open(self) -> bool:
        going = Broadcast.id.in_(self._broadcasts) & Broadcast.finished_at.is_null()
        return bool(self._answers) or Broadcast.select().where(going).exists()

    def _states(self) -> list[tuple[int, str, int]]:
        rows = Message.select().where(Message.broadcast_id.in_(self._broadcasts))
        return [
            (row.id, row.state, row.next_at - self.now) for row in rows if row.state not in ("sent", "failed")
        ]

    def _check_end(self) -> None:
        accepted = {one.message.id for one in self._requests if one.accepted}
        for broadcast_id in self._broadcasts:
            rows = list(Message.select().where(Message.broadcast_id == broadcast_id))
            counted = counters.of_broadcast(broadcast_id)
            by_state = {state: sum(row.state == state for row in rows) for state in counted.states}
            self._expect(counted.states == by_state, "counters differ from rows", broadcast_id)
            self._expect(
                counted.total == len(rows) and counted.open == 0, "somebody is missing", broadcast_id
            )
            for row in rows:
                self._check_row(row, row.id in accepted)

    def _check_row(self, row: Any, is_accepted: bool) -> None:
        if row.state == "sent":
            self._expect(is_accepted, "called sent, and never taken over", row.id)
        elif row.state == "cancelled" or row.error_code == "SUPPRESSED":
            mine = [one for one in self._requests if one.message.id == row.id]
            open_ones = [one for one in mine if one.accepted and not one.is_forgiven]
            self._expect(not open_ones, "called not sent, and was taken over", row.id)


@contextmanager
def clock_of(world: World) -> Iterator[None]:
    """The sender's jobs go by the world's clock, and by its list of the dead."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel_jobs, "epoch_ms", lambda: world.now)
        patch.setattr(channel_jobs.presence, "dead", lambda *_: list(world._dead))
        yield


def play(seed: int, now: int) -> World:
    """Let one world happen; raises Broken."""
    world = World(seed, now)
    with clock_of(world):
        world.run()
    return world
