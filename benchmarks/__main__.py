"""make bench: the marks of the project, as one table with ratios measured in the same run."""

import itertools
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from broadcaster import config
from broadcaster.clock import epoch_ms
from broadcaster.domain import strict_json
from broadcaster.sandbox import testbed
from broadcaster.services import progress
from broadcaster.store import broadcasts, channels, counters, database
from broadcaster.store.messages import Draft
from broadcaster.store.models import Channel

CHANNEL = "100000000000001"
SECRET = "bench"
CACHE = Path(tempfile.gettempdir()) / "broadcaster-bench-cache"
"""What takes long to make or to fetch, from one run to the next."""
LATENCY = ("--latency", "50")
console = Console(highlight=False, width=120)
table = Table("", "measured", "beside", "mark", box=None, header_style="bold", title_justify="left")


def row(name: str, measured: str, beside: str = "", mark: str = "") -> None:
    table.add_row(name, measured, beside, mark)
    console.print(f"  {name}: {measured}  {beside}")


def request_of(count: int, series: int = 0, first: int = 0) -> dict[str, Any]:
    return {
        "channel": CHANNEL,
        "template": {"name": "appointment", "language": "en"},
        "recipients": [
            {
                "to": f"+90555{series:03d}{i:04d}",
                "variables": ["Ana", "Monday", "10:00", f"file {i}"],
            }
            for i in range(first, first + count)
        ],
    }


def fill(here: testbed.Installation, count: int) -> list[str]:
    """Accept `count` messages in broadcasts of 5,000; returns their paths."""
    sizes = [5000] * (count // 5000) + ([count % 5000] if count % 5000 else [])
    return [
        f"/v1/broadcasts/{here.ask('POST', '/v1/broadcasts', json=request_of(size, i))['id']}"
        for i, size in enumerate(sizes)
    ]


def wait_for_all(here: testbed.Installation, paths: list[str]) -> None:
    for path in paths:
        while not here.ask("GET", path)["finishedAt"]:
            time.sleep(0.2)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int, name: str = "VmRSS") -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(name + ":")[2].split()[0]) / 1000


def rival(which: str, url: str, count: int) -> tuple[float, float]:
    """Messages a second and CPU microseconds a message of a rival, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.rivals", which, url, str(count)],
        check=True,
        capture_output=True,
        text=True,
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    return seen["count"] / seen["seconds"], seen["cpu"] / seen["count"] * 1e6


def bullmq(folder: Path, url: str, count: int) -> str:
    """What BullMQ and a Redis that flushes once a second make of it; or why they are not here."""
    redis, node = shutil.which("redis-server"), shutil.which("node")
    if (
        not redis
        or not node
        or not all((CACHE / "node_modules" / part).exists() for part in ("bullmq", "ioredis"))
    ):
        return f"skipped: wants redis-server, node, and `npm install bullmq ioredis` in {CACHE}"
    door = str(folder / "redis.sock")
    saved = ["--appendonly", "yes", "--appendfsync", "everysec", "--dir", str(folder), "--save", ""]
    command = [redis, "--port", "0", "--unixsocket", door, *saved]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as kept:
        try:
            script = [node, str(Path(__file__).with_name("bullmq.mjs")), str(CACHE), door, url, str(count)]
            while not Path(door).exists():
                time.sleep(0.01)
            done = subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True)
            seen, stored = json.loads(done.stdout), cpu_seconds(kept.pid)
        finally:
            kept.terminate()
    used = seen["cpu"] / count * 1e6, stored / count * 1e6
    return f"{count / seen['seconds']:,.0f}/s, {used[0]:.0f} us CPU, and Redis {used[1]:.0f} us"


def drain(folder: Path, count: int = 20_000) -> None:
    """(a) The queue emptied with the pace lifted."""
    with testbed.sandbox(folder, *LATENCY) as url:
        bare_rate, bare_cpu = rival("bare", url, count)
        huey_rate, huey_cpu = rival("huey", url, 2000)
        peer = bullmq(folder, url, count)
    with testbed.sandbox(folder, *LATENCY) as url:
        here = testbed.Installation(folder / "drain", url)
        here.folder.mkdir()
        here.add_channel(CHANNEL, "--pace", "100000")
        web = here.start("web")
        paths = fill(here, count)
        worker = here.start("worker")
        before = cpu_seconds(worker.popen.pid)
        wait_for_all(here, paths)
        cpu = (cpu_seconds(worker.popen.pid) - before) / count * 1e6
        report = testbed.sandbox_report(url)
        rate = count / (report["lastAt"] - report["firstAt"])
        worker.stop()
        web.stop()
    assert report["accepted"] == count and report["duplicates"] == 0
    row("bare aiohttp loop, nothing stored", f"{bare_rate:,.0f}/s, {bare_cpu:.0f} us CPU")
    row("one huey task a recipient + requests", f"{huey_rate:,.0f}/s, {huey_cpu:.0f} us CPU")
    row("BullMQ, a job a recipient", peer)
    row(
        f"drain of {count:,}, all states durable",
        f"{rate:,.0f}/s, {cpu:.0f} us CPU",
        f"{rate / bare_rate:.2f} of bare ({cpu / bare_cpu:.2f} CPU), {rate / huey_rate:.1f} x huey",
        "4,000/s, 250 us (0.64 of bare, 1.57 CPU)",
    )


def pace(folder: Path, per_second: int, count: int, mark: str) -> None:
    """(b) A pace held, with the sandbox's own limit at exactly that figure."""
    place = folder / f"pace{per_second}"
    place.mkdir()
    with testbed.sandbox(place, *LATENCY, "--throughput", str(per_second)) as url:
        here = testbed.Installation(place, url)
        here.add_channel(CHANNEL, "--pace", str(per_second))
        web, worker = here.start("web"), here.start("worker")
        wait_for_all(here, fill(here, count))
        report = testbed.sandbox_report(url)
        worker.stop()
        web.stop()
    ideal, took = count / per_second, report["lastAt"] - report["firstAt"]
    row(
        f"pace {per_second}/s over {count:,}",
        f"{ideal / took:.1%} of ideal ({took:.2f} s for {ideal:.0f})",
        f"peak {report['peakPerSecond']} a second, {report['refused'].get('130429', 0)} x 130429",
        mark,
    )


def accept(folder: Path) -> None:
    """(c) 5,000 recipients accepted, through our own API and through each vendor's."""
    place = folder / "accept"
    place.mkdir()
    with testbed.sandbox(place) as url:
        here = testbed.Installation(place, url)
        here.add_channel(CHANNEL)
        web = here.start("web")
        asked = [("own", "/v1/broadcasts", request_of(5000)), *vendors(5000)]
        # Turn by turn, so that a slow minute of the machine slows all of them.
        times: dict[str, list[float]] = {name: [] for name, _, _ in asked}
        for _ in range(7):
            for name, path, document in asked:
                raw = json.dumps(document).encode()
                begun = time.perf_counter()
                here.ask("POST", path, data=raw, headers={"Content-Type": "application/json"})
                times[name].append(time.perf_counter() - begun)
        web.stop()
    raw = json.dumps(request_of(5000)).encode()
    begun = time.perf_counter()
    for _ in range(5):
        json.loads(raw)
    plain = (time.perf_counter() - begun) / 5
    median = {name: sorted(found)[3] for name, found in times.items()}
    row(
        f"5,000 recipients accepted ({len(raw) / 1e6:.2f} MB)",
        f"{median['own'] * 1000:.0f} ms (best {min(times['own']) * 1000:.0f})",
        f"{median['own'] / plain:.0f} x json.loads ({plain * 1000:.0f} ms)",
        "300 ms",
    )
    for name in list(times)[1:]:
        measured = f"{median[name] * 1000:.0f} ms (best {min(times[name]) * 1000:.0f})"
        row(f"the same through {name}", measured, f"{median[name] / median['own']:.2f} of own", "1.5 of own")


def vendors(count: int) -> list[tuple[str, str, dict[str, Any]]]:
    """The benchmark's broadcast in each vendor's language: its path and its document."""
    people = request_of(count)["recipients"]
    named = [{str(i): text for i, text in enumerate(one["variables"], 1)} for one in people]
    template = {"template_name": "appointment", "language": "en", "phone_number_id": CHANNEL}
    bulk = [{"phone": p["to"], "variables": v} for p, v in zip(people, named, strict=True)]
    to = [{"to": p["to"], "variables": v} for p, v in zip(people, named, strict=True)]
    payloads = [{"template": {"variables": [{"type": "BODY", "parameters": v}]}} for v in named]
    merged = {
        "channelUsername": "15550101",
        "connectorBrand": "whatsapp",
        "defaultPayload": {
            "type": "template",
            "template": {"templateName": "appointment", "languageCode": "en"},
            "isMerge": True,
        },
        "recipients": [
            {"username": p["to"].removeprefix("+"), "payload": v}
            for p, v in zip(people, payloads, strict=True)
        ],
    }
    slug = "/api/bench/custom-functions/bulk-message-api-app/api/bulk-message/send.js"
    return [
        ("mindo", "/api/v1/meta-templates/send-bulk/", template | {"recipients": bulk}),
        ("keebai", "/v1/messages/bulk", template | {"recipients": to}),
        ("monochat", slug, merged),
    ]


def receipts(folder: Path, per_second: int = 1000, seconds: int = 10) -> None:
    """(f) Receipts in single POSTs, while 80 messages a second go out."""
    place = folder / "receipts"
    place.mkdir()
    with testbed.sandbox(place, *LATENCY) as url:
        here = testbed.Installation(place, url, app_secret="bench")
        here.add_channel(CHANNEL, "--pace", "80")
        server = here.start()
        paths = fill(here, 80 * (seconds + 5))
        with sqlite3.connect(place / "data" / "broadcaster.db") as opened:
            key = opened.execute("SELECT key FROM installation").fetchone()[0]
        command = ["-m", "benchmarks.rivals", "receipts", here.url, str(per_second), str(seconds), key]
        done = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True)
        seen = json.loads(done.stdout.splitlines()[-1])
        sent = testbed.sandbox_report(url)["accepted"]
        wait_for_all(here, paths)
        server.stop()
    row(
        f"{per_second:,} receipts a second offered",
        f"{seen['taken'] / seen['seconds']:,.0f}/s taken, median {seen['median'] * 1000:.0f} ms,"
        f" 99 % within {seen['p99'] * 1000:.0f} ms",
        f"{sent / seen['seconds']:.0f} messages/s meanwhile, {seen['refused']} refused",
        "1,000/s, 250 ms",
    )


@contextmanager
def stand_in(
    here: testbed.Installation, throughput: int, tells: bool = True
) -> Iterator[Callable[[], dict[str, Any]]]:
    """A lean Graph for an installation, that may tell of each message in three callbacks; called once at the
    end for what it saw."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    here.environ["BROADCASTER_PORT"], here.url = port, f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "benchmarks.stand_in", "50", str(throughput)]
    with subprocess.Popen(
        [*command, here.url + "/callbacks/meta" if tells else "", SECRET],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin and running.stdout
        here.environ["BROADCASTER_GRAPH_URL"] = f"http://127.0.0.1:{running.stdout.readline().strip()}"

        def report() -> dict[str, Any]:
            assert running.stdin and running.stdout
            running.stdin.close()
            seen: dict[str, Any] = json.loads(running.stdout.readline())
            return seen

        yield report
        running.kill()


def with_channels(place: Path, channels: int, per_second: int) -> testbed.Installation:
    """An installation with so many channels, each with this pace."""
    place.mkdir()
    with testbed.sandbox(place) as url:
        here = testbed.Installation(place, url, app_secret=SECRET)
        here.add_channel(CHANNEL, "--pace", str(per_second))
    with sqlite3.connect(place / "data" / "broadcaster.db") as opened:
        names = [name for _, name, *_ in opened.execute("PRAGMA table_info(channel)")]
        alike = ", ".join(name for name in names if name not in ("id", "phone_number_id"))
        opened.executemany(
            f"INSERT INTO channel (phone_number_id, {alike}) SELECT ?, {alike} FROM channel WHERE id = 1",
            [(_number(place_of),) for place_of in range(1, channels)],
        )
    return here


def _number(place: int) -> str:
    """The phone_number_id of the benchmark's channel at this place."""
    return str(int(CHANNEL) + place)


def back_channel(
    folder: Path, *halves: str, channels: int = 1, per_second: int = 1000, count: int = 10_000
) -> None:
    """(h) A pace kept while each message brings three receipts, each in a POST of its own."""
    here = with_channels(folder / f"back-{len(halves)}-{channels}", channels, per_second)
    count, total = count * channels, per_second * channels
    with stand_in(here, total if channels == 1 else 10**9) as report:
        processes = [here.start(half) for half in halves] if halves else [here.start()]
        pids = [process.popen.pid for process in processes]
        documents = [request_of(5000, i) | {"channel": _number(i % channels)} for i in range(count // 5000)]
        before = sum(map(cpu_seconds, pids))
        paths = [f"/v1/broadcasts/{here.ask('POST', '/v1/broadcasts', json=d)['id']}" for d in documents]
        while sum(here.ask("GET", path)["delivery"]["read"] for path in paths) < count:
            time.sleep(0.1)
        read_at = time.time()
        cpu = sum(map(cpu_seconds, pids)) - before
        seen = report()
        for process in processes:
            process.stop()
    row(
        f"{total:,}/s with three receipts each, {' and '.join(halves) or 'run'}",
        f"{count / total / seen['seconds']:.0%} of the pace,"
        f" {3 * count / (read_at - seen['firstAt']):,.0f} receipts/s, median {seen['median'] * 1000:.0f} ms",
        f"{cpu:.1f} s CPU, {seen['throttled']} x 130429, {seen['refused']} refused",
        "97 %, 2,700/s, 50 ms" if channels == 1 else "",
    )


def many_channels(folder: Path, channels: int = 200, per_second: int = 10, count: int = 150) -> None:
    """(m) Channels that all send at once, each at its pace."""
    here = with_channels(folder / "channels", channels, per_second)
    with stand_in(here, 10**9, tells=False) as report:
        server = here.start("web"), here.start("worker")
        for place in range(channels):
            document = request_of(count, place // 20, place % 20 * count) | {"channel": _number(place)}
            here.ask("POST", "/v1/broadcasts", json=document)
        with sqlite3.connect(here.folder / "data" / "broadcaster.db") as opened:
            while opened.execute("SELECT COUNT(*) FROM broadcast WHERE finished_at IS NULL").fetchone()[0]:
                time.sleep(0.1)
            took = "SELECT MAX(m.settled_at) - MIN(m.settled_at) FROM message m GROUP BY m.broadcast_id"
            kept = [count / per_second * 1000 / ms for (ms,) in opened.execute(took)]
        opened.close()
        assert report()["taken"] == channels * count
        for half in server:
            half.stop()
    row(
        f"{channels} channels at {per_second}/s each",
        f"the slowest kept {min(kept):.0%} of its pace, on average {sum(kept) / channels:.0%}",
        "",
        "97 %",
    )


def instant(folder: Path, broadcasts_due: int = 2000, channels: int = 20) -> None:
    """(k) Many broadcasts of one message each, due at one moment."""
    here = with_channels(folder / "instant", channels, 1000)
    with stand_in(here, 10**9) as report:
        server = here.start()
        due = int(time.time()) + 10 + broadcasts_due // 50
        for place in range(broadcasts_due):
            document = request_of(1, place // 1000, place % 1000) | {
                "channel": _number(place % channels),
                "scheduleAt": datetime.fromtimestamp(due, UTC).isoformat(),
            }
            here.ask("POST", "/v1/broadcasts", json=document)
        left = due - time.time()
        assert left > 0, "the machine took too long to accept them"
        time.sleep(left)
        with sqlite3.connect(here.folder / "data" / "broadcaster.db") as opened:
            while opened.execute("SELECT COUNT(*) FROM broadcast WHERE finished_at IS NULL").fetchone()[0]:
                time.sleep(0.1)
            last, mean = opened.execute(
                "SELECT MAX(started_at - due_at), AVG(started_at - due_at) FROM broadcast"
            ).fetchone()
        assert report()["taken"] == broadcasts_due
        server.stop()
    row(
        f"{broadcasts_due:,} broadcasts due at one instant on {channels} channels",
        f"the last starts after {last / 1000:.2f} s, on average after {mean / 1000:.2f} s",
        "",
        "1 s",
    )


def one_receipt(folder: Path, seconds: int = 6) -> None:
    """(i) What a receipt costs beside a request that does nothing, each in a closed loop of 64 clients."""
    place = folder / "receipt"
    place.mkdir()
    cost, rate = {}, {}
    with testbed.sandbox(place) as url:
        here = testbed.Installation(place, url, app_secret=SECRET)
        here.add_channel(CHANNEL)
        server = here.start("web")
        fill(here, 10_000)
        with sqlite3.connect(place / "data" / "broadcaster.db") as opened:
            key = opened.execute("SELECT key FROM installation").fetchone()[0]
            opened.execute(
                "UPDATE message SET state = 'sent', attempt = 1, wamid = 'wamid.b.' || id, sent_at = 1"
            )
            opened.execute("UPDATE broadcast SET started_at = due_at, finished_at = due_at")
        for what in ("nothing", "receipts"):
            before = cpu_seconds(server.popen.pid)
            arguments = ["loop", here.url, str(seconds), "64", what, SECRET, f"{key}:10000"]
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.stand_in", *arguments],
                check=True,
                capture_output=True,
                text=True,
            )
            seen = json.loads(done.stdout)
            many = seen["count"] + seen["other"]
            cost[what] = (cpu_seconds(server.popen.pid) - before) / many * 1e6
            rate[what] = many / seen["seconds"]
        server.stop()
    row(
        "a receipt beside a request that does nothing",
        f"{cost['receipts']:.0f} us CPU, {rate['receipts']:,.0f}/s",
        f"{cost['receipts'] / cost['nothing']:.2f} of nothing"
        f" ({cost['nothing']:.0f} us, {rate['nothing']:,.0f}/s)",
        "0.8 of nothing",
    )


def grown(folder: Path, millions: int) -> Path:
    """An installation with so many million messages in ended broadcasts of 5,000; built once, in minutes, and
    kept for the next run."""
    kept = CACHE / f"{millions}m-{_SCHEMA}"
    if not kept.exists():
        draft = kept.with_name(kept.name + ".part")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        with testbed.sandbox(draft) as url:
            testbed.Installation(draft, url).add_channel(CHANNEL, "--pace", "100000")
        with sqlite3.connect(draft / "data" / "broadcaster.db") as opened:
            for number in range(millions * 200):
                _fill_ended(opened, number)
        opened.close()
        draft.rename(kept)
    place = folder / f"grown{millions}-{time.monotonic_ns()}"
    shutil.copytree(kept, place)
    return place


_SCHEMA = len(list(database.MIGRATIONS.glob("[0-9]*.py")))


def _fill_ended(opened: sqlite3.Connection, number: int) -> None:
    """One broadcast to 5,000 people, all of it read a month ago."""
    ended = epoch_ms() - 30 * 86_400_000
    made = opened.execute(
        "INSERT INTO broadcast (public_id, channel_id, template_name, template_language, priority,"
        " duplicates, scheduled, created_at, due_at, started_at, finished_at, face, on_unknown)"
        " VALUES (?, 1, 'appointment', 'en', 0, 0, 0, ?, ?, ?, ?, 'own', 'fail')",
        [f"grown-{number}", *[ended] * 4],
    )
    many = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4999)"
    opened.execute(
        f"{many} INSERT INTO message (broadcast_id, recipient, content, variables, state, delivery, attempt,"
        " tries, next_at, claimed_at, settled_at, sent_at, delivered_at, read_at, wamid, resent)"
        " SELECT ?, '+9054' || (? + i),"
        """ '{"name":"appointment","language":{"code":"en"},"components":[]}', '["a"]', 'sent', 'read',"""
        " 1, 0, ?, ?, ?, ?, ?, ?, 'wamid.grown.' || (? + i), 0 FROM n",
        [made.lastrowid, 10_000_000 + number * 5000, *[ended] * 6, number * 5000],
    )
    if number % 5 == 0:
        # Each person was written to some times.
        opened.execute(
            f"{many} INSERT INTO contact (recipient, created_at) SELECT '+9054' || (? + i), ? FROM n",
            [10_000_000 + number * 5000, ended],
        )
        opened.execute(
            f"{many} INSERT INTO contact_name (name, contact_id) SELECT c.recipient, c.id FROM n"
            " JOIN contact c ON c.recipient = '+9054' || (? + n.i)",
            [10_000_000 + number * 5000],
        )


def growth(folder: Path, millions: int) -> None:
    """(j) What sending, accepting and an idle worker cost among millions of old messages, beside none."""
    found = {}
    for size in (0, millions):
        place = grown(folder, size)
        with testbed.sandbox(place, *LATENCY) as url:
            here = testbed.Installation(place, url)
            here.use_token(here.command("token", "create", "bench", "--scope", "admin"))
            web, worker = here.start("web"), here.start("worker")
            before = cpu_seconds(worker.popen.pid)
            time.sleep(5)
            idle = (cpu_seconds(worker.popen.pid) - before) / 5
            worker.stop()
            begun, cpu = time.perf_counter(), cpu_seconds(web.popen.pid)
            paths = fill(here, 20_000)
            accepted = (time.perf_counter() - begun) / 4 * 1000
            accepting = (cpu_seconds(web.popen.pid) - cpu) / 4 * 1000
            worker = here.start("worker")
            before = cpu_seconds(worker.popen.pid)
            wait_for_all(here, paths)
            sending = (cpu_seconds(worker.popen.pid) - before) / 20_000 * 1e6
            report = testbed.sandbox_report(url)
            rate = 20_000 / (report["lastAt"] - report["firstAt"])
            worker.stop()
            web.stop()
        shutil.rmtree(place)
        found[size] = (rate, sending, accepted, accepting, idle)
    (rate, sending, accepted, accepting, idle), old = found[0], found[millions]
    row(
        f"among {millions},000,000 old messages, beside none",
        f"drain {old[0] / rate:.2f} of its rate, {old[1] / sending:.2f} of its CPU ({sending:.0f} us)",
        f"accepting 5,000: {old[2] / accepted:.2f} of its time ({accepted:.0f} ms),"
        f" {old[3] / accepting:.2f} of its CPU; idle worker {old[4]:.1%} of a core beside {idle:.1%}",
        "0.95 to 1.05",
    )


def upkeep(folder: Path, millions: int) -> None:
    """(l) The longest gap between two messages at 80/s while an installation of so many million is kept in
    order."""
    place = grown(folder, millions)
    with sqlite3.connect(place / "data" / "broadcaster.db") as opened:
        opened.execute("UPDATE channel SET pace_override = 80")
    opened.close()
    with testbed.sandbox(place, *LATENCY) as url:
        here = testbed.Installation(place, url)
        here.use_token(here.command("token", "create", "bench", "--scope", "admin"))
        web, worker = here.start("web"), here.start("worker")
        paths = fill(here, 40_000)
        works: dict[str, Callable[[], object]] = {
            "nothing": lambda: time.sleep(5),
            "metrics": lambda: here.call("GET", "/metrics"),
            "list of 100": lambda: here.call("GET", "/v1/broadcasts?limit=100"),
            "status=failed": lambda: here.call("GET", "/v1/broadcasts?limit=100&status=failed"),
            "doctor": lambda: here.command("doctor"),
            "export": lambda: here.call("GET", f"{paths[0]}/messages", headers={"Accept": "text/csv"}),
            "erase": lambda: here.command("erase", "+905410000077", "--yes"),
            "backup": lambda: here.command("backup", str(place / "copy.db")),
            "purge": lambda: here.command("purge", "--days", "20"),
            "second purge": lambda: here.command("purge", "--days", "20"),
        }
        time.sleep(3)
        said = []
        for name, work in works.items():
            begun = epoch_ms()
            work()
            took = epoch_ms() - begun
            time.sleep(0.5)
            said.append(f"{name} {_longest_gap(place, begun, epoch_ms())} ms ({took / 1000:.1f} s)")
        worker.stop()
        web.stop()
    shutil.rmtree(place)
    row(f"longest gap at 80/s among {millions},000,000", ", ".join(said), "", "300 ms")


def _longest_gap(place: Path, begun: int, ended: int) -> int:
    """Of milliseconds, between the departures of two messages that were claimed or answered in this time."""
    with sqlite3.connect(f"file:{place}/data/broadcaster.db?mode=ro", uri=True) as opened:
        longest = 0
        for moment in ("claimed_at", "settled_at"):
            query = (
                f"SELECT {moment} FROM message WHERE {moment} BETWEEN ? AND ? AND broadcast_id > ? ORDER BY 1"
            )
            newest = opened.execute("SELECT MAX(id) - 8 FROM broadcast").fetchone()[0]
            moments = [found for (found,) in opened.execute(query, (begun, ended, newest))]
            gaps = (after - before for before, after in itertools.pairwise([begun, *moments, ended]))
            longest = max(longest, *gaps)
    opened.close()
    return longest


def strangers(folder: Path, per_second: int = 700, seconds: int = 5) -> None:
    """(g) The pace of one process beside 16 clients that ask without end, each page for itself."""
    place = folder / "strangers"
    place.mkdir()
    kept = {}
    with testbed.sandbox(place, *LATENCY, "--throughput", "5000") as url:
        here = testbed.Installation(place, url)
        here.add_channel(CHANNEL, "--pace", str(per_second))
        server = here.start()
        for series, path in enumerate(("", "/docs", "/readyz", "/v1/broadcasts", "/metrics")):
            documents = [request_of(5000, series * 10 + i) for i in range(2)]
            paths = [f"/v1/broadcasts/{here.ask('POST', '/v1/broadcasts', json=d)['id']}" for d in documents]
            command = ["-m", "benchmarks.rivals", "strangers", here.url + path, str(seconds + 3), here.token]
            asking = subprocess.Popen([sys.executable, *command]) if path else None
            time.sleep(1)
            before, begun = testbed.sandbox_report(url)["accepted"], time.monotonic()
            time.sleep(seconds)
            after, took = testbed.sandbox_report(url)["accepted"], time.monotonic() - begun
            kept[path] = (after - before) / took
            if asking:
                asking.wait()
            for one in paths:
                here.ask("POST", f"{one}/stop")
        server.stop()
    worst = min(kept, key=lambda path: kept[path])
    row(
        f"pace {per_second}/s beside 16 strangers",
        f"{kept[worst] / kept['']:.1%} of what it is alone, at worst ({worst})",
        ", ".join(f"{path or 'alone'} {rate:.0f}/s" for path, rate in kept.items()),
        "90 %",
    )


def count_among_a_million(folder: Path) -> None:
    """(d) Counters of a 5,000-message broadcast among a million messages."""
    settings = config.load({"BROADCASTER_DATA_DIR": str(folder / "counters")}, folder / "none")
    opened = database.open(settings.database)
    database.migrate(opened)
    row_of = channels.save(
        {"phone_number_id": CHANNEL, "waba_id": "7", "portfolio": "7", "access_token": "x"},
        epoch_ms(),
    )
    last = ""
    for number in range(200):
        last = f"b{number}"
        _million(row_of, last)
    opened.execute_sql("UPDATE message SET state = 'sent', wamid = 'w', sent_at = 1 WHERE id % 3 > 0")
    opened.execute_sql("UPDATE message SET delivery = 'read' WHERE id % 3 = 1")
    times, bare = [], []
    for _ in range(50):
        begun = time.perf_counter()
        seen = progress.of(last, epoch_ms())
        times.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        counters.of_broadcasts([seen.facts.id])
        bare.append(time.perf_counter() - begun)
    assert seen.counts.total == 5000
    database.close()
    row(
        "counters of 5,000 among 1,000,000",
        f"{sorted(bare)[25] * 1000:.2f} ms, the whole answer {sorted(times)[25] * 1000:.2f} ms",
        "",
        "5 ms",
    )


def _million(row_of: Channel, public_id: str) -> None:
    facts = {
        "public_id": public_id, "channel_id": row_of.id, "template_name": "t", "template_language": "en",
        "priority": 0, "duplicates": 0, "scheduled": False, "due_at": epoch_ms(),
    }  # fmt: skip
    content = strict_json.dumps({"name": "t", "language": {"code": "en"}})
    with database.transaction():
        broadcasts.accept(facts, [Draft(f"+9055{i:08d}", content) for i in range(5000)], epoch_ms())


def memory(folder: Path, queued: int) -> float:
    """(e) What the worker holds while so many messages wait and some are being sent."""
    place = folder / f"memory{queued}"
    place.mkdir()
    with testbed.sandbox(place, *LATENCY) as url:
        here = testbed.Installation(place, url)
        here.add_channel(CHANNEL, "--pace", "100")
        web = here.start("web")
        fill(here, queued)
        worker = here.start("worker")
        while testbed.sandbox_report(url)["accepted"] < 400:
            time.sleep(0.2)
        peak = megabytes(worker.popen.pid, "VmHWM")
        worker.stop()
        web.stop()
    return peak


def two_memories(folder: Path) -> None:
    """The worker's memory, whatever waits."""
    few, many = memory(folder, 1000), memory(folder, 100_000)
    row("worker's peak memory, 1,000 and 100,000 waiting", f"{few:.0f} and {many:.0f} MB", "", "120 MB")


MEASURES: dict[str, Callable[[Path], None]] = {
    "drain": drain,
    "pace": lambda folder: pace(folder, 80, 2000, "98 %, peak 80"),
    "pace1000": lambda folder: pace(folder, 1000, 10_000, "97 %, peak 1000"),
    "accept": accept,
    "receipts": receipts,
    "receipt": one_receipt,
    "back": back_channel,
    "back-apart": lambda folder: back_channel(folder, "web", "worker"),
    "back2": lambda folder: back_channel(folder, channels=2),
    "back2-apart": lambda folder: back_channel(folder, "web", "worker", channels=2),
    "instant": instant,
    "channels": many_channels,
    "growth": lambda folder: growth(folder, 1),
    "strangers": strangers,
    "counters": count_among_a_million,
    "memory": two_memories,
}
ON_REQUEST: dict[str, Callable[[Path], None]] = {
    "growth5": lambda folder: growth(folder, 5),
    "upkeep1": lambda folder: upkeep(folder, 1),
    "upkeep5": lambda folder: upkeep(folder, 5),
}
"""What takes minutes to prepare."""


def main() -> None:
    """Measure what the arguments name, or everything."""
    console.print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores; latency of the sandbox 50 ms")
    known = MEASURES | ON_REQUEST
    asked = sys.argv[1:] or list(MEASURES)
    unknown = [name for name in asked if name not in known]
    if unknown:
        sys.exit(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    with tempfile.TemporaryDirectory(prefix="broadcaster-bench-") as name:
        for one in asked:
            known[one](Path(name))
    console.print()
    console.print(table)


if __name__ == "__main__":
    main()
