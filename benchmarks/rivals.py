"""What the sender is measured against: a bare aiohttp loop, and one huey task a recipient with requests."""

import asyncio
import hashlib
import hmac
import json
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp
import requests
from huey.contrib.sql_huey import SqlHuey
from playhouse.cysqlite_ext import CySqliteDatabase

PATH = "/v25.0/100000000000001/messages"
HEADERS = {"Authorization": "Bearer t", "Content-Type": "application/json"}


def body(number: int) -> bytes:
    """A send like ours, ready made."""
    parameters = [{"type": "text", "text": text} for text in ("Ana", "Monday", "10:00", f"file {number}")]
    return json.dumps(
        {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": f"+90555{number // 9000:03d}{number % 9000:04d}",
            "type": "template",
            "template": {
                "name": "appointment",
                "language": {"code": "en"},
                "components": [{"type": "body", "parameters": parameters}],
            },
            "biz_opaque_callback_data": f"rival.{number}.1",
        }
    ).encode()


async def bare_loop(url: str, count: int, concurrency: int = 300) -> None:
    """Post and read, nothing stored, nothing decided."""
    numbers = iter(range(count))

    async def post(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            async with session.post(url + PATH, data=body(number), headers=HEADERS) as response:
                json.loads(await response.read())

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        await asyncio.gather(*(post(session) for _ in range(concurrency)))


def huey_tasks(url: str, count: int, threads: int = 64) -> None:
    """One stored huey task a recipient, each posting with requests."""
    local, done = threading.local(), threading.Semaphore(0)
    with tempfile.TemporaryDirectory() as folder:
        database = CySqliteDatabase(
            str(Path(folder) / "huey.db"), pragmas={"journal_mode": "wal", "synchronous": "full"}, timeout=10
        )
        huey: Any = SqlHuey("rival", database=database, results=False)

        @huey.task()
        def post(number: int) -> None:
            if not hasattr(local, "session"):
                local.session = requests.Session()
                local.session.trust_env = False
            local.session.post(url + PATH, data=body(number), headers=HEADERS, timeout=30).json()
            done.release()

        with database.atomic():
            for number in range(count):
                post(number)
        consumer = huey.create_consumer(workers=threads, initial_delay=0.01, max_delay=0.1)
        consumer._set_signal_handlers = lambda: None
        started = time.monotonic()
        consumer.start()
        for _ in range(count):
            done.acquire()
        report(count, time.monotonic() - started)
        consumer.stop(graceful=True)


async def offer_receipts(url: str, key: str, per_second: int, seconds: int) -> None:
    """Single-status callbacks at an even pace, for the first messages of an installation, over and over."""
    times: list[float] = []
    refused = 0
    loop = asyncio.get_running_loop()

    async def post(session: aiohttp.ClientSession, number: int) -> None:
        nonlocal refused
        status = {
            "id": f"wamid.bench{number}",
            "status": ("sent", "delivered", "read")[number % 3],
            "timestamp": "1795000000",
            "biz_opaque_callback_data": f"{key}.{number % 500 + 1}.1",
        }
        change = {"field": "messages", "value": {"statuses": [status]}}
        raw = json.dumps({"entry": [{"id": "77", "changes": [change]}]}).encode()
        signature = hmac.new(b"bench", raw, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
        begun = loop.time()
        async with session.post(url + "/callbacks/meta", data=raw, headers=headers) as answer:
            refused += answer.status != 200
        times.append(loop.time() - begun)

    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        begun, tasks = loop.time(), []
        for number in range(per_second * seconds):
            await asyncio.sleep(max(0.0, begun + number / per_second - loop.time()))
            tasks.append(asyncio.create_task(post(session, number)))
        await asyncio.gather(*tasks)
        took = loop.time() - begun
    times.sort()
    told = {
        "taken": len(times) - refused,
        "refused": refused,
        "seconds": took,
        "median": times[len(times) // 2],
        "p99": times[len(times) * 99 // 100],
    }
    print(json.dumps(told), flush=True)


async def ask_without_end(url: str, seconds: int, token: str, clients: int = 16) -> None:
    """Clients that ask for one page, each again as soon as it is answered, and each on a connection kept."""
    over = time.monotonic() + seconds

    async def ask(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < over:
            async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
                await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=clients)) as session:
        await asyncio.gather(*(ask(session) for _ in range(clients)))


def report(count: int, seconds: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"count": count, "seconds": seconds, "cpu": used.ru_utime + used.ru_stime}), flush=True)


if __name__ == "__main__":
    which, address, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    os.environ["TZ"] = "UTC"
    if which == "bare":
        begun = time.monotonic()
        asyncio.run(bare_loop(address, number))
        report(number, time.monotonic() - begun)
    elif which == "receipts":
        asyncio.run(offer_receipts(address, sys.argv[5], number, int(sys.argv[4])))
    elif which == "strangers":
        asyncio.run(ask_without_end(address, number, sys.argv[4]))
    else:
        huey_tasks(address, number)
