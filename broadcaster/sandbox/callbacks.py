"""The sandbox's receipts: signed as Meta signs them, and sent again until they are taken."""

import asyncio
import hashlib
import hmac
import json
import random
import time
from collections import Counter
from typing import Any

import aiohttp

_AT_ONCE = 50
_RETRY_SECONDS = (0.2, 0.5, 1, 2, 5)
"""Between tries; the last holds until the receipt is taken. Meta goes on for days."""
_STEP_SECONDS = 0.05
"""Between the receipts of one message."""

FULL = ("sent", "delivered", "read")
_FAILED = {"131026": "the number cannot be reached on WhatsApp", "131049": "Meta chose not to deliver this"}


class Receipts:
    """Sends receipts to one address, once it is told which."""

    def __init__(self) -> None:
        self.url: str | None = None
        self.secret = ""
        self.taken: Counter[str] = Counter()
        """Receipts the server answered with 200, by status."""
        self.refused: Counter[str] = Counter()
        """Other answers, by HTTP status."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    def listen(self, url: str | None, secret: str) -> None:
        self.url, self.secret = url, secret

    def plan(
        self, words: tuple[str, ...], doubled: bool, wamid: str, recipient: str, tag: str | None
    ) -> None:
        """Send these statuses of a message, one after the other, or doubled and in any order."""
        if not self.url or not words:
            return
        now = time.time()
        statuses = [_status(word, wamid, recipient, tag, now + i) for i, word in enumerate(words)]
        if doubled:
            statuses = statuses * 2
            random.shuffle(statuses)
        task = asyncio.create_task(self._send_all(statuses))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_all(self, statuses: list[dict[str, Any]]) -> None:
        for status in statuses:
            await asyncio.sleep(_STEP_SECONDS * random.random())
            await self._deliver(status)

    async def _deliver(self, status: dict[str, Any]) -> None:
        body = json.dumps(_callback(status)).encode()
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
        tries = 0
        while self.url:
            code = await self._post(self.url, body, headers)
            if code == 200:
                self.taken[status["status"]] += 1
                return
            self.refused[str(code)] += 1
            await asyncio.sleep(_RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)])
            tries += 1

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        self._session = self._session or aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20))
        try:
            async with self._places, self._session.post(url, data=body, headers=headers) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._session:
            await self._session.close()


def _status(word: str, wamid: str, recipient: str, tag: str | None, at: float) -> dict[str, Any]:
    code = word.removeprefix("failed:") if word.startswith("failed:") else None
    status: dict[str, Any] = {
        "id": wamid,
        "status": "failed" if code else word,
        "timestamp": str(int(at)),
        "recipient_id": recipient.lstrip("+"),
    }
    if tag:
        status["biz_opaque_callback_data"] = tag
    if code:
        details = {"details": _FAILED.get(code, "not delivered")}
        status["errors"] = [{"code": int(code), "title": "not delivered", "error_data": details}]
    elif word == "sent":
        status["pricing"] = {"billable": True, "pricing_model": "PMP", "category": "utility"}
    return status


def _callback(status: dict[str, Any]) -> dict[str, Any]:
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550101", "phone_number_id": "100000000000001"},
        "statuses": [status],
    }
    entry = {"id": "77", "changes": [{"field": "messages", "value": value}]}
    return {"object": "whatsapp_business_account", "entry": [entry]}
