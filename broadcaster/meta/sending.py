"""The connection that sends: one pool of kept connections to Graph, and what became of each request.

Nothing was sent if no byte of a request left; from its first byte on, a missing answer decides nothing
(`verdicts.LOST`).
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler

from broadcaster import log
from broadcaster.clock import epoch_ms
from broadcaster.domain import phone, retry_after, verdicts
from broadcaster.domain.decide import Claimed
from broadcaster.domain.verdicts import Verdict

ANSWER_SECONDS = 30
"""How long an answer is waited for, from the request's first byte."""

_LARGEST_ANSWER = 64 * 1024
"""Bytes; an answer of Graph's has some hundred. Of a longer one, and of a packed one, nothing is believed."""
_MOST_BYTES = 2 * _LARGEST_ANSWER
"""Of all that comes for one request: interim answers, the head and the frames of chunks count as well."""

logger = log.get(__name__)


class Sending(NamedTuple):
    """What became of a request: the verdict over its answer, whether a byte of it left, and how many seconds
    the answer asks to wait before the next, if it does."""

    verdict: Verdict
    has_left: bool
    wait: float | None = None


class TrackedBody(aiohttp.BytesPayload):
    """A request body that tells when its bytes go out."""

    def __init__(self, body: bytes, on_leaving: Callable[[], None]):
        super().__init__(body, content_type="application/json")
        self._on_leaving = on_leaving
        self.has_left = False

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        # Set before the first byte: from here on no failure proves that nothing left.
        self.has_left = True
        self._on_leaving()
        await super().write_with_length(writer, content_length)


class _Metered(ResponseHandler):
    """A connection that is cut when more comes for one request than an answer can have.

    Interim answers and chunks' extensions never end by themselves, and at full speed took the loop's whole
    processor until the deadline.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop):
        super().__init__(loop)
        self._left = _MOST_BYTES

    def set_response_params(self, **options: Any) -> None:
        """aiohttp's call at the start of each request."""
        self._left = _MOST_BYTES
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        """The bytes that count go on to aiohttp, so that a head before a long body is read."""
        kept, self._left = data[: self._left], self._left - len(data)
        super().data_received(kept)
        if self._left < 0 and isinstance(self.transport, asyncio.Transport):
            self._left = 0
            self.transport.abort()


class _Connector(aiohttp.TCPConnector):
    def __init__(self, **options: Any):
        super().__init__(**options)
        self._factory = cast("partial[ResponseHandler]", partial(_Metered, loop=self._loop))


class SendConnection:
    """Connections to Graph that are kept between requests; used as `async with`."""

    def __init__(self, answer_seconds: float = ANSWER_SECONDS):
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=0, keepalive_timeout=15, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=answer_seconds, sock_connect=10),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity"},
        )

    async def __aenter__(self) -> "SendConnection":
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def send(
        self, url: str, headers: Mapping[str, str], body: bytes, on_leaving: Callable[[], None]
    ) -> Sending:
        """Post a message once; `on_leaving` is called before its first byte leaves. Raises nothing."""
        tracked = TrackedBody(body, on_leaving)
        wait = None
        try:
            async with self._session.post(
                url, data=tracked, headers=headers, allow_redirects=False
            ) as answer:
                wait = _wait(answer.headers)
                return Sending(verdicts.judge(answer.status, await _body(answer)), tracked.has_left, wait)
        except Exception as error:
            if not isinstance(error, (aiohttp.ClientError, TimeoutError, OSError)):
                logger.exception("a send failed in an unforeseen way")
            return Sending(verdicts.LOST if tracked.has_left else verdicts.UNREACHED, tracked.has_left, wait)


def _wait(headers: Mapping[str, str]) -> float | None:
    asked = headers.get("Retry-After")
    return retry_after.seconds(asked, headers.get("Date"), epoch_ms() / 1000) if asked else None


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """The body of an answer, nothing where it is longer than Graph's are or breaks off."""
    length = answer.content_length
    if length is not None and length > _LARGEST_ANSWER:
        return b""
    body = b""
    try:
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > _LARGEST_ANSWER:
                return b""
    except aiohttp.ClientPayloadError:
        return b""
    return body


def compose(claimed: Claimed, installation_key: str) -> bytes:
    """The request body of a message. Only `content` comes from outside, and it is JSON of our own making;
    recipients have passed phone.recipient."""
    field_name = "recipient" if phone.is_user_id(claimed.recipient) else "to"
    return (
        '{"messaging_product":"whatsapp","recipient_type":"individual",'
        f'"{field_name}":"{claimed.recipient}","type":"template","template":{claimed.content},'
        f'"biz_opaque_callback_data":"{installation_key}.{claimed.id}.{claimed.attempt}"}}'
    ).encode()
