"""A Graph that hangs, drips, resets, lies and answers late, and keeps its own record of what it accepted.

It is the sandbox with spoilt answers: what a send must look like is checked there. The record is what worlds
are judged by.
"""

import asyncio
import hashlib
import hmac
import json
import random
import threading
import time
from collections import Counter
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

from broadcaster.sandbox.outcomes import Outcome
from broadcaster.sandbox.server import Sandbox

SECRET = "torture-app-secret"
MOODS = ("hang", "drip", "reset", "cut", "lie", "late", "page", "throttle")
"""What it does to answers while it is in this mood."""
_LATE_SECONDS = 3.0
_PAGES = (502, 503, 429, 301, 307, 200)


class Accepted(NamedTuple):
    """A message it took over: to whom, under which tag, when (epoch seconds), and the receipts to come."""

    recipient: str
    tag: str
    at: float
    receipts: tuple[str, ...]


class Record:
    """What it saw. Written on its loop, read by others."""

    def __init__(self) -> None:
        self.accepted: list[Accepted] = []
        self.arrived: Counter[str] = Counter()
        """Requests that came whole, by recipient, whatever became of them."""
        self.refused: dict[str, set[int]] = {}
        """The codes a recipient was refused with."""
        self.spoilt: Counter[str] = Counter()
        """Answers by what was done to them."""
        self.forged: Counter[int] = Counter()
        """Answers to callbacks that somebody else signed, by status."""


class HostileGraph(Sandbox):
    """The sandbox, with a mood."""

    def __init__(self, latency: float, rng: random.Random):
        super().__init__(latency, 0, [])
        self.record = Record()
        self.mood: str | None = None
        self._rng = rng

    async def _send(self, request: web.BaseRequest, number: str) -> web.StreamResponse:
        if self.mood == "cut" and self._rng.random() < 0.3 and request.transport:
            # Before the body is read: what the client knows of it is anybody's guess.
            self.record.spoilt["cut"] += 1
            request.transport.abort()
            return web.Response(status=500)
        return await super()._send(request, number)

    async def _carry_out(
        self, request: web.BaseRequest, outcome: Outcome, recipient: str, body: dict[str, Any]
    ) -> web.StreamResponse:
        self.record.arrived[recipient] += 1
        mood = self.mood if self._rng.random() < 0.6 else None
        if mood == "throttle" and outcome.code is None:
            outcome = Outcome(130429, "too many messages from this number", status=400)
        if outcome.code is not None:
            self.record.refused.setdefault(recipient, set()).add(outcome.code)
        elif mood == "page" and self._rng.random() < 0.5:
            self.record.spoilt["page, not accepted"] += 1
            return self._page(request)
        elif mood == "reset" and self._rng.random() < 0.5 and request.transport:
            self.record.spoilt["reset, not accepted"] += 1
            request.transport.abort()
            return web.Response(status=500)
        elif outcome.answer != "page":
            tag = str(body.get("biz_opaque_callback_data"))
            self.record.accepted.append(Accepted(recipient, tag, time.time(), outcome.receipts))
        answer = await super()._carry_out(request, outcome, recipient, body)
        if mood is None or outcome.code is not None:
            return answer
        self.record.spoilt[mood] += 1
        return await self._spoil(mood, request, answer)

    async def _spoil(
        self, mood: str, request: web.BaseRequest, answer: web.StreamResponse
    ) -> web.StreamResponse:
        body = answer.body if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else b"{}"
        if mood == "hang":
            # Now and then longer than any client waits.
            await asyncio.sleep(self._rng.uniform(1, 8) if self._rng.random() < 0.95 else 33)
            self._abort(request)
        elif mood == "late":
            await asyncio.sleep(self._rng.uniform(0, _LATE_SECONDS))
        elif mood in ("reset", "cut"):
            self._abort(request)
        elif mood == "drip":
            return await self._drip(request, body)
        elif mood == "lie":
            return self._lie(body)
        elif mood == "page":
            return self._page(request)
        return answer

    def _abort(self, request: web.BaseRequest) -> None:
        if request.transport:
            request.transport.abort()

    def _page(self, request: web.BaseRequest) -> web.Response:
        status = self._rng.choice(_PAGES)
        headers = {"Location": str(request.url)} if status in (301, 307) else {"Retry-After": "1"}
        text = "" if status == 200 else "<html><h1>The edge is not well</h1></html>"
        return web.Response(status=status, text=text, content_type="text/html", headers=headers)

    def _lie(self, body: bytes) -> web.Response:
        """A yes that cannot be read as one."""
        spoilt: list[tuple[bytes, dict[str, str]]] = [
            (b"", {}),
            (b"{}", {}),
            (b'{"messages":[]}', {}),
            (b'{"messages":[{"id":null}]}', {}),
            (b"null", {}),
            (body[: len(body) // 2], {}),
            (b"\x1f\x8b not gzip", {"Content-Encoding": "gzip"}),
            (b'{"error":{"message":"?","code":"what"}}', {}),
        ]
        content, headers = self._rng.choice(spoilt)
        return web.Response(body=content, content_type="application/json", headers=headers)

    async def _drip(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        dripping = web.StreamResponse(headers={"Content-Type": "application/json"})
        dripping.content_length = len(body)
        await dripping.prepare(request)
        step = max(1, len(body) // self._rng.randint(4, 30))
        ends_early = self._rng.random() < 0.3
        for at in range(0, len(body), step):
            if ends_early and at > len(body) // 2:
                self._abort(request)
                break
            await dripping.write(body[at : at + step])
            await asyncio.sleep(0.2)
        return dripping


class Graph:
    """A hostile Graph on a thread of this process, from start() to stop()."""

    def __init__(self, seed: int, latency: float = 0.02):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="graph", daemon=True)
        self._rng = random.Random(seed)
        self._latency = latency
        self.url = ""

    def start(self) -> None:
        """Return when it listens on a free port, whose address is `url`."""
        self._thread.start()
        self.url = self._run(self._open())

    def stop(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self) -> str:
        self.sandbox = HostileGraph(self._latency, self._rng)
        self._runner = web.ServerRunner(
            web.Server(self.sandbox.handle, access_log=None), shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _close(self) -> None:
        await self.sandbox.receipts.close()
        await self._runner.cleanup()

    @property
    def record(self) -> Record:
        return self.sandbox.record

    @property
    def owes(self) -> int:
        """Receipts that the product has not taken yet."""
        return len(self.sandbox.receipts._tasks)

    def be(self, mood: str | None) -> None:
        """Be in a mood, or well again."""
        self.sandbox.mood = mood

    def tell(self, product_url: str) -> None:
        """Send all receipts to a product, those that wait included."""
        target = f"{product_url}/callbacks/meta"
        self._loop.call_soon_threadsafe(self.sandbox.receipts.listen, target, SECRET)

    def say(self, product_url: str, value: dict[str, Any], secret: str = SECRET) -> int:
        """Tell the product something once; returns its status, 0 for no answer."""
        change = {"field": "messages", "value": {"messaging_product": "whatsapp", **value}}
        document = {
            "object": "whatsapp_business_account",
            "entry": [{"id": "77", "changes": [change]}],
        }
        status: int = self._run(_post(f"{product_url}/callbacks/meta", document, secret))
        return status


async def _post(url: str, document: dict[str, Any], secret: str) -> int:
    body = json.dumps(document).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
            session.post(url, data=body, headers=headers) as answer,
        ):
            return answer.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return 0
