"""The sandbox's HTTP server: management calls, sends, and the report."""

import asyncio
import base64
import gc
import json
import signal
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from broadcaster.sandbox.callbacks import Receipts
from broadcaster.sandbox.check import Refused, check_envelope, check_template
from broadcaster.sandbox.outcomes import Outcome, choose

_PAGE = 5
_NUMBERS: dict[str, dict[str, Any]] = {
    "100000000000001": {"throughput": "STANDARD", "tier": "TIER_UNLIMITED"},
    "100000000000002": {"throughput": "STANDARD", "tier": "TIER_250"},
    "100000000000003": {"throughput": "HIGH", "tier": "TIER_UNLIMITED"},
    "100000000000004": {"throughput": "STANDARD", "tier": "TIER_10K", "coexistence": True},
    "100000000000005": {"throughput": "STANDARD", "tier": "TIER_250", "unverified": True},
}
_HANG_SECONDS = 120
_EARLY_SECONDS = 1
"""How much later than its receipts an answer comes where they are to be early."""


class Report:
    """What was seen: every request to send, and how it was answered."""

    def __init__(self) -> None:
        self.requests = 0
        self.accepted = 0
        self.refused: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.tags: Counter[str] = Counter()
        self.peak = 0
        self.first_at: float | None = None
        self.last_at: float | None = None
        self._second: deque[float] = deque()

    def arrived(self, now: float) -> int:
        """Note a request to send; returns how many came in the sliding second that ends now."""
        self.requests += 1
        self.first_at = self.first_at or now
        self.last_at = now
        self._second.append(now)
        while self._second[0] <= now - 1:
            self._second.popleft()
        self.peak = max(self.peak, len(self._second))
        return len(self._second)

    def took(self, tag: str | None, answer: str) -> None:
        self.accepted += 1
        self.answers[answer] += 1
        if tag:
            # <installation>.<message>.<attempt>: two attempts of one message are duplicates too.
            self.tags[tag.rpartition(".")[0]] += 1

    def document(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "accepted": self.accepted,
            "answered": self.answers["plain"],
            "unanswered": self.accepted - self.answers["plain"],
            "refused": dict(self.refused),
            "duplicates": sum(count - 1 for count in self.tags.values()),
            "peakPerSecond": self.peak,
            "firstAt": self.first_at,
            "lastAt": self.last_at,
        }


class Sandbox:
    """One stand-in: its templates, its limit, and what it has seen."""

    def __init__(self, latency: float, throughput: float, more_templates: list[dict[str, Any]]):
        """Must be made on a running loop."""
        self.latency = latency
        self.throughput = throughput
        self.report = Report()
        self.receipts = Receipts()
        self._had_once: set[str] = set()
        rows = json.loads(Path(__file__).with_name("templates.json").read_text()) + more_templates
        self.templates = [
            {"id": str(500_000 + i), "quality_score": {"score": "GREEN"}, **row} for i, row in enumerate(rows)
        ]
        self._by_name = {(row["name"], row["language"]): row for row in self.templates}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        if parts == ["sandbox", "report"]:
            return self._tell(request)
        if parts == ["sandbox", "callbacks"] and request.method == "POST":
            asked = await request.json()
            self.receipts.listen(asked.get("url"), asked.get("secret", ""))
            return web.json_response({"url": self.receipts.url})
        if len(parts) < 2 or not parts[0].startswith("v"):
            return _refusal(Refused(2500, "unknown path"), 404)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token or token.startswith("expired"):
            return _refusal(Refused(190 if token else 104, "the access token has expired"), 401)
        if request.method == "POST" and parts[2:] == ["messages"]:
            return await self._send(request, parts[1])
        if request.method == "GET" and parts[2:] == ["message_templates"]:
            return self._template_page(request)
        if request.method == "GET" and parts[2:] == ["subscribed_apps"]:
            app = {"id": "900001", "name": "Sandbox app", "link": "https://sandbox.example"}
            apps = [{"whatsapp_business_api_data": app}] if self.receipts.url else []
            return web.json_response({"data": apps})
        if request.method == "GET" and len(parts) == 2:
            return self._number(request, parts[1])
        return _refusal(Refused(2500, "unknown path"), 404)

    def _tell(self, request: web.BaseRequest) -> web.Response:
        if request.method == "DELETE":
            self.report = Report()
        told = {"taken": dict(self.receipts.taken), "refused": dict(self.receipts.refused)}
        return web.json_response(self.report.document() | {"receipts": told})

    def _number(self, request: web.BaseRequest, number: str) -> web.Response:
        known = _NUMBERS.get(number)
        if known is None:
            return _refusal(Refused(100, "no such object, or no permission"), 400, subcode=33)
        row = {
            "display_phone_number": f"+1 555-01{number[-2:]}",
            "verified_name": f"Sandbox {number[-1]}",
            "quality_rating": "GREEN",
            "status": "PENDING" if known.get("unverified") else "CONNECTED",
            "code_verification_status": "NOT_VERIFIED" if known.get("unverified") else "VERIFIED",
            "throughput": {"level": known["throughput"]},
            "whatsapp_business_manager_messaging_limit": known["tier"],
            "is_on_biz_app": known.get("coexistence", False),
        }
        asked = [name for name in request.query.get("fields", "").split(",") if name and name != "id"]
        unknown = [name for name in asked if name not in row]
        if unknown:
            return _refusal(Refused(100, f"nonexisting field ({unknown[0]})"), 400)
        return web.json_response({"id": number} | {name: row[name] for name in asked})

    def _template_page(self, request: web.BaseRequest) -> web.Response:
        start = int(request.query.get("after", "0"))
        end = start + min(_PAGE, int(request.query.get("limit", "25")))
        cursors = {"before": str(start), "after": str(end)}
        paging: dict[str, Any] = {"cursors": cursors}
        if end < len(self.templates):
            paging["next"] = f"{request.url.with_query({'after': str(end)})}"
        return web.json_response({"data": self.templates[start:end], "paging": paging})

    async def _send(self, request: web.BaseRequest, number: str) -> web.StreamResponse:
        arrived = time.time()
        in_second = self.report.arrived(arrived)
        raw = await request.read()
        try:
            body = json.loads(raw)
            if number not in _NUMBERS:
                raise Refused(100, "no such object, or no permission")
            recipient, template = check_envelope(body)
            check_template(template, self._by_name)
            if self.throughput and in_second > self.throughput:
                raise Refused(130429, "too many messages in a second")
            outcome = self._outcome(recipient)
        except ValueError:
            return await self._refuse(Refused(100, "the body is not JSON"), 400)
        except Refused as refused:
            return await self._refuse(refused, 400)
        return await self._carry_out(request, outcome, recipient, body)

    def _outcome(self, recipient: str) -> Outcome:
        outcome = choose(recipient)
        if outcome.once and recipient in self._had_once:
            return Outcome()
        if outcome.once:
            self._had_once.add(recipient)
        return outcome

    async def _carry_out(
        self, request: web.BaseRequest, outcome: Outcome, recipient: str, body: dict[str, Any]
    ) -> web.StreamResponse:
        if outcome.code is not None:
            return await self._refuse(Refused(outcome.code, outcome.text), outcome.status)
        if outcome.answer == "page":
            await asyncio.sleep(self.latency)
            self.report.refused["page"] += 1
            return web.Response(
                status=502, text="<html><h1>Bad Gateway</h1></html>", content_type="text/html"
            )
        tag = body.get("biz_opaque_callback_data")
        self.report.took(tag, outcome.answer)
        accepted = _accepted(recipient, self.report.accepted)
        told = (outcome.receipts, outcome.doubled, accepted["messages"][0]["id"], recipient, tag)
        if outcome.early:
            self.receipts.plan(*told)
            await asyncio.sleep(_EARLY_SECONDS)
        elif outcome.answer != "plain":
            self.receipts.plan(*told)
        await asyncio.sleep(_HANG_SECONDS if outcome.answer == "hang" else self.latency)
        if outcome.answer == "plain" and not outcome.early:
            self.receipts.plan(*told)
        if outcome.answer == "close" and request.transport:
            request.transport.abort()
        if outcome.answer == "garbage":
            return web.Response(text="<<<not json>>>", content_type="application/json")
        return _json(200, accepted)

    async def _refuse(self, refused: Refused, status: int) -> web.Response:
        self.report.refused[str(refused.code)] += 1
        await asyncio.sleep(self.latency)
        return _refusal(refused, status)


def serve(
    host: str,
    port: int,
    latency: float,
    throughput: float,
    more_templates: list[dict[str, Any]],
    callbacks: str | None = None,
    secret: str = "",
) -> None:
    """Serve until SIGTERM or SIGINT; the first line on stdout is the address.

    Receipts go to `callbacks`, signed with `secret`.
    """

    async def run() -> None:
        sandbox = Sandbox(latency, throughput, more_templates)
        sandbox.receipts.listen(callbacks, secret)
        await _serve(host, port, sandbox)

    uvloop.run(run())


async def _serve(host: str, port: int, sandbox: Sandbox) -> None:
    # A long collection would look like a burst of the sender's.
    gc.freeze()
    gc.set_threshold(50_000, 100, 1000)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    # The low-level server: routing three paths does not need a router on every send.
    runner = web.ServerRunner(web.Server(sandbox.handle), shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=1024)
    await site.start()
    address = runner.addresses[0]
    print(f"http://{address[0]}:{address[1]}", flush=True)
    await stopping.wait()
    await sandbox.receipts.close()
    await runner.cleanup()


def _accepted(recipient: str, number: int) -> dict[str, Any]:
    digits = recipient.lstrip("+")
    wamid = "wamid." + base64.b64encode(f"{digits}:{number}:{time.time_ns()}".encode()).decode()
    return {
        "messaging_product": "whatsapp",
        "contacts": [{"input": recipient, "wa_id": digits}],
        "messages": [{"id": wamid, "message_status": "accepted"}],
    }


def _refusal(refused: Refused, status: int, subcode: int | None = None) -> web.Response:
    error: dict[str, Any] = {
        "message": f"(#{refused.code}) {refused.details}",
        "type": "OAuthException",
        "code": refused.code,
        "fbtrace_id": "sandbox",
    }
    if subcode is not None:
        error["error_subcode"] = subcode
    if refused.code not in (0, 104, 190, 200):
        error["error_data"] = {"messaging_product": "whatsapp", "details": refused.details}
    return _json(status, {"error": error})


def _json(status: int, document: Any) -> web.Response:
    return web.Response(status=status, body=json.dumps(document).encode(), content_type="application/json")
