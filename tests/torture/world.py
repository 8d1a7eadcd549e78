"""One world: an installation on a machine, a Graph, callers; faults one after the other, then all is well
again, everything comes to its end, and it is judged.

Who does what and what fails when is drawn from the seed. Processes and sockets have their own time, so a
seed brings back the plan of a world, not each of its moments.
"""

import random
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broadcaster.sandbox import testbed
from broadcaster.sandbox.testbed import NotReady
from tests.torture import callers, judge, older
from tests.torture.callers import Observer, Product
from tests.torture.graph import MOODS, SECRET, Graph
from tests.torture.judge import Evidence, Order
from tests.torture.machine import Machine
from tests.torture.receivers import Receiver

CHANNEL = "100000000000001"
WORKSPACE_TOKEN = "sandbox-token"
PACES = (20, 60, 150, 400)
"""Messages a second; orders are made so large that most of a world's time is spent sending."""
LATENCIES = (0.005, 0.05, 0.4)
END_SECONDS = 150
"""How long everything may take to end once all is well: the longest answer, its window, the retries."""
FARTHEST_BACK = 20
"""Seconds that a clock jumps back at most."""
FARTHEST_AHEAD = 7200
LAYOUTS = (("run",), ("web", "worker"), ("web", "worker", "worker 2"), ("run", "worker 2"))
MAGIC = ("9001", "9002", "9003", "9004", "9005", "9006", "9008", "9013", "9201", "9202", "9203", "9204",
         "9205", "9206", "9208")  # fmt: skip
"""Outcomes of the sandbox that come to an end by themselves within some seconds."""


_TRAILER = [
    {"type": "HEADER", "parameters": ["123456"]},
    {"type": "BODY", "parameters": {"name": "Ana", "event": "the fair"}},
]


@dataclass
class Prepared:
    """A data directory with a channel and a token, to copy; and the library of faults."""

    data: Path
    older: Path
    """The same as an older release left it."""
    token: str
    library: Path


@dataclass
class Result:
    """What came of a world."""

    seed: int
    layout: tuple[str, ...]
    faults: list[str] = field(default_factory=list)
    """Promises that were broken."""
    counts: Counter[str] = field(default_factory=Counter)
    plan: list[str] = field(default_factory=list)
    """What happened, for who reads a failure."""
    kept: Path | None = None
    """Where the world's files are, if it failed."""


def prepare(folder: Path, library: Path) -> Prepared:
    """Make the installation that all worlds start from."""
    graph = Graph(0)
    graph.start()
    try:
        here = testbed.Installation(folder, graph.url)
        here.add_channel(CHANNEL)
        older_data = older.make(folder / "data", _new_folder(folder / "older"))
        return Prepared(folder / "data", older_data, here.token, library)
    finally:
        graph.stop()


def _new_folder(path: Path) -> Path:
    path.mkdir()
    return path


def lay_out(machine: Machine, data: Path, pace: float) -> None:
    """Put a copy of a data directory on a machine's disk, and an empty folder for backups."""
    shutil.copytree(data, machine.root / "data")
    database = sqlite3.connect(machine.root / "data" / "broadcaster.db")
    with database:
        database.execute("UPDATE channel SET pace_override = ?", [pace])
    database.close()
    (machine.root / "backups").mkdir()
    machine.note_durable()


def play(seed: int, prepared: Prepared, place: Path | None) -> Result:
    """Play a world from its seed to its end, in a new folder in `place`."""
    folder = Path(tempfile.mkdtemp(prefix=f"world-{seed}-", dir=place))
    world = World(seed, folder, prepared)
    try:
        world.run()
    except Exception as error:
        world.complain(f"the world broke: {type(error).__name__}: {error}")
    finally:
        world.close()
    if world.result.faults:
        world.result.kept = folder
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return world.result


class World:
    def __init__(self, seed: int, folder: Path, prepared: Prepared):
        self._rng = random.Random(seed)
        self.result = Result(seed, self._rng.choice(LAYOUTS))
        self._folder = folder
        self._pace = self._rng.choice(PACES)
        self._graph = Graph(seed, self._rng.choice(LATENCIES))
        self._receiver = Receiver(seed)
        self._machine = Machine(folder, prepared.library)
        self._is_older = self._rng.random() < 0.3
        lay_out(self._machine, prepared.older if self._is_older else prepared.data, self._pace)
        self._token = prepared.token
        self._orders: list[Order] = []
        self._suppressed: set[str] = set()
        self._threads: list[threading.Thread] = []
        self._begun = time.monotonic()
        self._clock = 0.0
        self._backups: list[tuple[Path, set[str]]] = []
        """Backups that were said to be there, and the broadcasts that were accepted before each."""

    # The course of a world

    def run(self) -> None:
        self._open()
        active = self._rng.uniform(8, 14)
        self._plan_orders(active)
        until = time.monotonic() + active
        while time.monotonic() < until:
            time.sleep(self._rng.uniform(0.2, 2))
            self._fail()
        self._heal()
        self._end()
        self._judge()
        self._after()

    def close(self) -> None:
        with suppress(AttributeError):
            self._observer.stop()
        self._machine.close()
        self._receiver.stop()
        with suppress(Exception):
            self._graph.stop()

    def complain(self, fault: str) -> None:
        """Note a broken promise."""
        if len(self.result.faults) < 30 and fault not in self.result.faults:
            self.result.faults.append(fault)

    def _open(self) -> None:
        self._graph.start()
        self._receiver.start()
        self._here = testbed.Installation(
            self._folder,
            self._graph.url,
            data_dir=str(self._machine.root / "data"),
            app_secret=SECRET,
            unknown_window=str(self._rng.choice((1, 3, 6))),
            event_targets="127.0.0.0/8",
        )
        self._here.environ |= self._machine.environ
        self._here.use_token(self._token)
        self._product = Product(self._here)
        self._observer = Observer(self._product, self._orders, self.complain)
        if self._is_older:
            self._upgrade()
        self._start()
        self._opt_out()
        target = {"url": self._receiver.url, "types": ["broadcast.finished", "message.failed"]}
        self._product.insist("POST", "/v1/webhooks", self._soon(), json=target)
        self._observer.start()

    def _upgrade(self) -> None:
        """The first start brings the schema up to date, and is killed in it."""
        self._suppressed |= set(older.OPTED_OUT)
        for _ in range(self._rng.randint(1, 4)):
            self._machine.command(self._here, "run", kill_after=self._rng.uniform(0.3, 1.5))
            if self._rng.random() < 0.4:
                self._tell("power loss in an upgrade")
                self._machine.cut_power(self._rng)
            else:
                self._tell("kill -9 of an upgrade")

    def _soon(self) -> float:
        return time.monotonic() + 60

    def _tell(self, what: str) -> None:
        self.result.plan.append(f"{time.monotonic() - self._begun:6.1f} s  {what}")
        self.result.counts[what.partition(" for ")[0]] += 1

    # What is asked for

    def _opt_out(self) -> None:
        """Some people have opted out, by hand and by a word, before anybody writes to them."""
        people = [f"+905559{i:02d}{i:04d}" for i in range(20)]
        by_hand, by_word = people[:10], people[10:]
        status, _ = self._product.insist("POST", "/v1/suppressions", self._soon(), json={"to": by_hand})
        if status == 201:
            self._suppressed |= set(by_hand)
        for person in by_word:
            word = {"from": person[1:], "id": f"wamid.in{person}", "timestamp": str(int(time.time())),
                    "type": "text", "text": {"body": "STOP"}}  # fmt: skip
            told = {"metadata": {"phone_number_id": CHANNEL}, "messages": [word]}
            if self._graph.say(self._here.url, told) == 200:
                self._suppressed.add(person)

    def _plan_orders(self, seconds: float) -> None:
        count = self._rng.randint(3, 6)
        for at in range(count):
            size = self._rng.uniform(0.3, 1.2) * seconds * self._pace / count
            order = self._new_order(max(30, min(900, int(size))), is_marketing=at == 1)
            moment = self._rng.uniform(0, seconds * 0.7)
            for _ in range(self._rng.choice((1, 1, 2))):
                # Two at once with one key are one broadcast, too.
                self._later(moment, callers.place, order)
            if self._rng.random() < 0.6:
                rng = random.Random(self._rng.random())
                self._later(self._rng.uniform(moment, seconds), self._steer, order, rng)
        for _ in range(self._rng.randint(0, 2)):
            self._later(self._rng.uniform(0, seconds), self._back_up)
        self._later(self._rng.uniform(0, seconds), self._purge_nothing)
        self._later(self._rng.uniform(0, seconds), self._forge)

    def _new_order(self, count: int, is_marketing: bool = False, odd: float = 0.1) -> Order:
        """An order to so many people, that share of them with endings the sandbox does odd things for."""
        number = len(self._orders)
        digits = [self._rng.choice(MAGIC) if self._rng.random() < odd else f"{at:04d}" for at in range(count)]
        people = list(dict.fromkeys(f"+90555{number:03d}{ending}" for ending in digits))
        if is_marketing:
            people += sorted(self._suppressed)[:60]
        name, values = (judge.MARKETING, _TRAILER) if is_marketing else ("appointment", ["a", "b", "c", "d"])
        order = Order(
            f"key-{number}",
            {
                "channel": CHANNEL,
                "template": {"name": name, "language": "en"},
                "recipients": [{"to": to, "variables": values} for to in people],
                "onUnknown": self._rng.choice(("fail", "fail", "resend")),
            },
        )
        self._orders.append(order)
        return order

    def _later(self, seconds: float, act: Callable[..., None], *arguments: Any) -> None:
        until = time.monotonic() + END_SECONDS

        def run() -> None:
            time.sleep(seconds)
            if act is callers.place:
                callers.place(self._product, *arguments, until, self.complain)
            else:
                act(*arguments)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _steer(self, order: Order, rng: random.Random) -> None:
        callers.steer(self._product, order, rng, self._soon())

    def _back_up(self) -> None:
        known = {order.id for order in self._orders if order.id}
        target = self._machine.root / "backups" / f"{len(self._backups)}-{time.monotonic_ns()}.db"
        code, _ = self._machine.command(self._here, "backup", str(target))
        if code == 0:
            self._backups.append((target, known))
            self.result.counts["backup taken"] += 1

    def _purge_nothing(self) -> None:
        self._machine.command(self._here, "purge")

    def _forge(self) -> None:
        """Receipts that somebody else signed, or that are of nobody: they change nothing."""
        for one in list(self._graph.record.accepted)[-5:]:
            status = {"id": "wamid.forged", "status": "failed", "timestamp": str(int(time.time())),
                      "recipient_id": one.recipient[1:], "biz_opaque_callback_data": one.tag,
                      "errors": [{"code": 131026, "title": "x"}]}  # fmt: skip
            code = self._graph.say(self._here.url, {"statuses": [status]}, "not the secret")
            if code == 200:
                self.complain("a forged receipt was taken")
            stranger = {**status, "biz_opaque_callback_data": f"someoneelse.{one.tag.split('.')[1]}.1"}
            self._graph.say(self._here.url, {"statuses": [stranger]})

    # What fails

    def _fail(self) -> None:
        kinds: list[Callable[[], None]] = [
            self._kill, self._kill, self._kill_amid, self._kill_amid, self._kill_one, self._end_one,
            self._cut_power, self._cut_power, self._freeze, self._fill_disk, self._lock, self._jump,
            self._sulk, self._sulk, self._sulk, self._drip,
        ]  # fmt: skip
        self._rng.choice(kinds)()
        self._start()

    def _start(self) -> None:
        """Start what does not run, as systemd would."""
        for half, code in self._machine.died().items():
            self._machine.end(half, signal.SIGKILL)
            self._tell(f"{half} had ended by itself with {code}")
        try:
            self._machine.start(self._here, *self.result.layout)
        except NotReady:
            self._tell("a start failed")
        else:
            self._graph.tell(self._here.url)

    def _kill(self) -> None:
        self._tell("kill -9 of the group")
        self._machine.kill()

    def _kill_amid(self) -> None:
        """A kill, or a power loss, some milliseconds after somebody asked for something."""
        if self._rng.random() < 0.5 or not self._orders:
            what, order = "an order", self._new_order(self._rng.randint(1, 3 * self._pace))
            for _ in range(2):
                self._later(0, callers.place, order)
        else:
            what, order = "a request", self._rng.choice(self._orders)
            self._later(0, self._steer, order, random.Random(self._rng.random()))
        time.sleep(self._rng.uniform(0, 0.25))
        if self._rng.random() < 0.5:
            self._tell(f"kill -9 amid {what}")
            self._machine.kill()
        else:
            self._cut_power()

    def _kill_one(self) -> None:
        half = self._rng.choice(self.result.layout)
        self._tell(f"kill -9 of one for {half}")
        if half in self._machine.running:
            self._machine.end(half, signal.SIGKILL)

    def _end_one(self) -> None:
        half = self._rng.choice(self.result.layout)
        self._tell(f"SIGTERM for {half}")
        if half in self._machine.running:
            self._machine.end(half, signal.SIGTERM)

    def _cut_power(self) -> None:
        self._tell("power loss")
        known = {order.id for order in self._orders if order.id}
        self._machine.cut_power(self._rng)
        there = _broadcasts_in(self._machine.root / "data", self._folder / "look")
        if not known <= there:
            raise AssertionError(
                f"a power loss took {len(known - there)} of {len(known)} accepted broadcasts"
            )

    def _freeze(self) -> None:
        half = self._rng.choice(self.result.layout)
        seconds = self._rng.choice((0.3, 2, 12))
        self._tell(f"frozen for {seconds} s: {half}")
        self._machine.send(half, signal.SIGSTOP)
        time.sleep(seconds)
        self._machine.send(half, signal.SIGCONT)

    def _fill_disk(self) -> None:
        seconds, room = self._rng.uniform(0.5, 4), self._rng.choice((0, 4096, 100_000))
        self._tell(f"disk full for {seconds:.1f} s, {room} bytes left")
        self._machine.set_space(room)
        time.sleep(seconds)
        if self._rng.random() < 0.3:
            self._tell("kill -9 of the group")
            self._machine.kill()
        self._machine.set_space(-1)

    def _lock(self) -> None:
        seconds = self._rng.choice((0.5, 3, 11))
        self._tell(f"database locked for {seconds} s")
        holder = self._machine.hold_lock(self._here, self._machine.root / "data" / "broadcaster.db")
        time.sleep(seconds)
        holder.kill()
        holder.wait()

    def _jump(self) -> None:
        self._clock += self._rng.choice((-FARTHEST_BACK, -1, 1, 30, FARTHEST_AHEAD))
        self._tell(f"clock wrong for {self._clock:+.0f} s")
        self._machine.set_clock(self._clock)

    def _sulk(self) -> None:
        mood = self._rng.choice(MOODS)
        seconds = self._rng.uniform(0.5, 3)
        self._tell(f"Graph in the mood {mood} for {seconds:.1f} s")
        self._graph.be(mood)
        time.sleep(seconds)
        if self._rng.random() < 0.3:
            self._tell("kill -9 of the group")
            self._machine.kill()
        self._graph.be(None)

    def _drip(self) -> None:
        self._tell("receivers spoilt")
        self._receiver.is_bad = not self._receiver.is_bad

    # The end

    def _heal(self) -> None:
        self._tell("all is well again")
        self._graph.be(None)
        self._receiver.is_bad = False
        self._machine.set_space(-1)
        for half in self.result.layout:
            self._machine.send(half, signal.SIGCONT)
        self._start()
        self._healed_at = time.monotonic()

    def _end(self) -> None:
        """Wait until everything has ended: nobody but an operator resumes what is held, and only later
        messages' receipts close what is unknown."""
        until = time.monotonic() + END_SECONDS
        tail_at = time.monotonic() + 8
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        while time.monotonic() < until and not self._has_ended():
            self._start()
            if time.monotonic() > tail_at:
                tail_at = time.monotonic() + 5
                callers.place(self._product, self._new_order(3), self._soon(), self.complain)
            time.sleep(0.5)
        seconds = time.monotonic() - self._healed_at
        self.result.counts["seconds until all had ended"] += int(seconds)

    def _has_ended(self) -> bool:
        if self._graph.owes:
            return False
        ended = True
        for order in self._orders:
            if not order.id:
                continue
            _, document = self._product.ask("GET", f"/v1/broadcasts/{order.id}")
            if not isinstance(document, dict) or not document.get("finishedAt"):
                ended = False
            if isinstance(document, dict) and document.get("status") == "paused":
                self.result.counts["resumed by hand"] += 1
                self._product.ask("POST", f"/v1/broadcasts/{order.id}/resume")
        return ended

    def _judge(self) -> None:
        self._observer.stop()
        self._observer.look_at_counters(self._soon())
        record = self._graph.record
        self._evidence = found = self._gather()
        for fault in judge.miscounted(found, self._observer.by_name()):
            self.complain(fault)
        for fault in judge.faults(found):
            self.complain(fault)
        for error in self._product.errors:
            self.complain(error)
        self._read_log()
        counts = self.result.counts
        counts["messages"] += sum(len(order.people) for order in self._orders)
        counts["messages Graph accepted"] += len(record.accepted)
        counts["looks at counters"] += self._observer.looks
        counts["events a receiver took"] += len(self._receiver.told)
        for kind, count in record.spoilt.items():
            counts[f"answers: {kind}"] += count
        for rows in found.rows.values():
            counts["unknown for good"] += sum(judge._code(row) == judge.UNKNOWN for row in rows)

    def _gather(self) -> Evidence:
        product, until = self._product, self._soon()
        documents = {row["id"]: row for row in product.pages("/v1/broadcasts", until, 100)}
        old = documents.pop(older.BROADCAST, None)
        if self._is_older and (old is None or old["stats"]["success"] != older.MESSAGES):
            self.complain(f"an upgrade left of the older release's broadcast {old and old['stats']}")
        events = product.pages("/v1/events?type=broadcast.finished", until, 100)
        return Evidence(
            self._orders,
            documents,
            {one: product.pages(f"/v1/broadcasts/{one}/messages", until) for one in documents},
            list(self._graph.record.accepted),
            self._graph.record.refused,
            self._suppressed,
            {event["data"]["broadcast"] for event in events},
        )

    def _read_log(self) -> None:
        log = self._machine.log.read_text(errors="replace")
        secrets = [WORKSPACE_TOKEN, self._token, SECRET]
        key = self._machine.root / "data" / "secret.key"
        secrets += key.read_text().split() if key.exists() else []
        for leak in judge.leaks(log, secrets):
            self.complain(leak)

    # What is done when all has ended

    def _after(self) -> None:
        """Erase people, or restore a backup, and be killed in it."""
        if self.result.faults:
            return
        if self._backups and self._rng.random() < 0.6:
            self._restore()
        elif self._rng.random() < 0.6:
            self._purge()

    def _purge(self) -> None:
        """Counts stay as they were, and nobody is named any more."""
        before = {row["id"]: row["stats"] for row in self._product.pages("/v1/broadcasts", self._soon(), 100)}
        self._machine.set_clock(self._clock + 200 * 86_400)
        for _ in range(self._rng.randint(1, 3)):
            self._tell("kill -9 while people are erased")
            self._machine.command(self._here, "purge", "--days", "30", kill_after=self._rng.uniform(0.3, 1.2))
            if self._rng.random() < 0.4:
                self._tell("power loss while people are erased")
                self._machine.cut_power(self._rng)
                self._start()
        code, output = self._machine.command(self._here, "purge", "--days", "30")
        if code:
            self.complain(f"purge ended with {code}: {output[-300:]}")
        documents = {row["id"]: row for row in self._product.pages("/v1/broadcasts", self._soon(), 100)}
        if {one: row["stats"] for one, row in documents.items()} != before:
            self.complain("counts are others after people were erased")
        for one in documents:
            if any(row["to"] for row in self._product.pages(f"/v1/broadcasts/{one}/messages", self._soon())):
                self.complain(f"{one} still names people after they were erased")

    def _restore(self) -> None:
        """After a restore, killed or not, the database is whole, either the one before or the backup's;
        nothing of the backup leaves before somebody says so."""
        source, known = self._rng.choice(self._backups)
        newest = {order.id for order in self._orders if order.id}
        self._machine.kill()
        for _ in range(self._rng.randint(1, 3)):
            kills = self._rng.random() < 0.7
            self._tell("kill -9 of a restore" if kills else "power loss after a restore")
            self._machine.command(
                self._here,
                "restore",
                str(source),
                "--yes",
                kill_after=self._rng.uniform(0.4, 1.6) if kills else None,
            )
            if not kills:
                self._machine.cut_power(self._rng)
            there = _broadcasts_in(self._machine.root / "data", self._folder / "look")
            if not known <= there:
                self.complain(
                    f"after a restore that was interrupted {len(known - there)} of {len(known)} are missing"
                )
                return
        code, output = self._machine.command(self._here, "restore", str(source), "--yes")
        if code:
            self.complain(f"restore ended with {code}: {output[-300:]}")
            return
        sent = len(self._graph.record.accepted)
        self._start()
        there = {row["id"] for row in self._product.pages("/v1/broadcasts", self._soon(), 100)}
        if not known <= there or there - newest - {older.BROADCAST}:
            self.complain(f"after a restore there are {len(there)} broadcasts, {len(known)} were backed up")
        # Nothing is sent after it, so that a lost answer would be waited for as long as possible.
        order = self._new_order(5, odd=0)
        callers.place(self._product, order, self._soon(), self.complain)
        until = self._soon()
        while time.monotonic() < until:
            _, document = self._product.ask("GET", f"/v1/broadcasts/{order.id}")
            if isinstance(document, dict) and document.get("finishedAt"):
                break
            if isinstance(document, dict) and document.get("status") == "paused":
                self._product.ask("POST", f"/v1/broadcasts/{order.id}/resume")
            time.sleep(0.3)
        else:
            self.complain("after a restore a new broadcast did not end")
        left = {one.recipient for one in self._graph.record.accepted[sent:]}
        if left - set(order.people):
            self.complain(f"after a restore {len(left - set(order.people))} messages left by themselves")
        self._read_log()


def _broadcasts_in(data: Path, copy: Path) -> set[str]:
    """The broadcasts of a database that nothing has open, read from a copy; empty if there is none."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(data, copy)
    if not (copy / "broadcaster.db").exists():
        return set()
    database = sqlite3.connect(copy / "broadcaster.db")
    try:
        return {one for (one,) in database.execute("SELECT public_id FROM broadcast")}
    finally:
        database.close()
