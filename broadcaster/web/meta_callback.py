"""What Meta sends to /callbacks/meta. Nothing is read before its signature is found right."""

import hmac
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import falcon

from broadcaster import log
from broadcaster.clock import epoch_ms
from broadcaster.config import Settings
from broadcaster.domain import strict_json
from broadcaster.errors import BroadcasterError, Forbidden, Malformed, Unauthorized
from broadcaster.meta import payloads
from broadcaster.services import meta_events
from broadcaster.store import database
from broadcaster.web import metrics
from broadcaster.web.large_bodies import wait_for_turn
from broadcaster.web.refusals import TooLarge
from broadcaster.web.requests import Context

PATH = "/callbacks/meta"
LARGEST = 4 * 1024 * 1024
"""Bytes; Meta's are at most 3 MB (Meta, webhooks)."""
SIGNATURE = "X-Hub-Signature-256"
_DEEPEST = 40

logger = log.get(__name__)


class Received(NamedTuple):
    """A callback, and the stop words of the installation it came to, which are the same for all."""

    callback: meta_events.ReceivedCallback
    stop_words: Sequence[str]


def check_verification(settings: Settings, mode: str, shown: str) -> None:
    """Raises Forbidden unless Meta shows the token that was configured."""
    wanted = settings.verify_token or ""
    is_same = hmac.compare_digest(wanted.encode(), shown.encode())
    if mode != "subscribe" or not wanted or not is_same:
        raise Forbidden("the verify token is not ours")


def receive(context: Context, request: falcon.Request) -> None:
    """Take a callback; returns once everything in it is durable. Raises TooLarge, Unauthorized, Malformed."""
    if (request.content_length or 0) > LARGEST:
        raise TooLarge(f"a callback has at most {LARGEST} bytes")
    wait_for_turn(request)
    raw = request.bounded_stream.read(LARGEST + 1)
    received = read(context.settings, raw, request.get_header(SIGNATURE))
    with metrics.timed_callback():
        _store(context, received)


def read(settings: Settings, raw: bytes, signature: str | None) -> Received:
    """A callback's body, understood as far as it is known; raises Unauthorized and Malformed."""
    _check_signature(settings, raw, signature)
    known = payloads.read(_document(raw))
    callback = meta_events.ReceivedCallback(raw.decode(), known)
    return Received(callback, settings.stop_words)


def take(received: Sequence[Received]) -> None:
    """Keep callbacks and do what they ask. A writer's job."""
    callbacks = [one.callback for one in received]
    meta_events.take(callbacks, received[0].stop_words, epoch_ms())


def _store(context: Context, received: Received) -> None:
    try:
        context.gather(take, received)
    except BroadcasterError:
        # Too busy for it: Meta sends it again.
        raise
    except Exception as error:
        if database.is_trouble(error):
            raise
        # Meta would send it again for days: keep it, and replay it once the fault is mended.
        logger.exception("a callback was kept but not understood")
        context.gather(_keep, received)


def _check_signature(settings: Settings, raw: bytes, signature: str | None) -> None:
    """Raises Unauthorized unless one of our secrets made the signature over these very bytes."""
    shown = (signature or "").removeprefix("sha256=").strip().lower().encode()
    # While Meta's secret rotates both hold; all are tried, so that time tells nothing.
    right = [hmac.digest(secret, raw, "sha256").hex() for secret in _secrets(settings.app_secret or "")]
    found = [hmac.compare_digest(one.encode(), shown) for one in right]
    if not any(found):
        raise Unauthorized("the signature is missing or was not made with the app's secret")


@cache
def _secrets(told: str) -> tuple[bytes, ...]:
    return tuple(secret.strip().encode() for secret in told.split(",") if secret.strip())


def _document(raw: bytes) -> object:
    # Duplicate keys and odd characters are Meta's own affair: the body is kept as it came.
    document = strict_json.loads_lenient(raw)
    if not isinstance(document, dict):
        raise Malformed("a callback is a JSON object")
    # Nothing is nested deeper than it has brackets, and few have so many.
    if raw.count(b"{") + raw.count(b"[") > _DEEPEST and strict_json.depth(document) > _DEEPEST:
        raise Malformed("the document is nested too deeply")
    return document


def _keep(received: list[Received]) -> None:
    meta_events.keep([one.callback for one in received], epoch_ms())
