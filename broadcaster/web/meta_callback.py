"""What Meta sends to /callbacks/meta. Nothing is read before its signature is found right."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import NamedTuple

import falcon

from broadcaster import log
from broadcaster.clock import epoch_ms
from broadcaster.config import Settings
from broadcaster.domain import strict_json
from broadcaster.errors import BroadcasterError, Faults, Forbidden, Malformed, Unauthorized
from broadcaster.meta import payloads
from broadcaster.services import meta_events
from broadcaster.store import database
from broadcaster.web import metrics
from broadcaster.web.large_bodies import wait_for_turn
from broadcaster.web.refusals import TooLarge
from broadcaster.web.requests import Context

LARGEST = 4 * 1024 * 1024
"""Bytes; Meta's are at most 3 MB (Meta, webhooks)."""
SIGNATURE = "X-Hub-Signature-256"
_DEEPEST = 40

logger = log.get(__name__)


class _Received(NamedTuple):
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
    _check_signature(context.settings, raw, request.get_header(SIGNATURE))
    callback = meta_events.ReceivedCallback(raw.decode(), payloads.read(_document(raw)))
    with metrics.timed_callback():
        _store(context, callback)


def _store(context: Context, callback: meta_events.ReceivedCallback) -> None:
    try:
        context.gather(_take, _Received(callback, context.settings.stop_words))
    except BroadcasterError:
        # Too busy for it: Meta sends it again.
        raise
    except Exception as error:
        if database.is_trouble(error):
            raise
        # Meta would send it again for days: keep it, and replay it once the fault is mended.
        logger.exception("a callback was kept but not understood")
        context.gather(_keep, callback)


def _check_signature(settings: Settings, raw: bytes, signature: str | None) -> None:
    """Raises Unauthorized unless one of our secrets made the signature over these very bytes."""
    # While Meta's secret rotates both hold; all are tried, so that time tells nothing.
    secrets = [secret for secret in (settings.app_secret or "").split(",") if secret.strip()]
    shown = (signature or "").removeprefix("sha256=").strip().lower()
    right = [hmac.new(s.strip().encode(), raw, hashlib.sha256).hexdigest() for s in secrets]
    found = [hmac.compare_digest(one.encode(), shown.encode()) for one in right]
    if not any(found):
        raise Unauthorized("the signature is missing or was not made with the app's secret")


def _document(raw: bytes) -> object:
    # Duplicate keys and odd characters are Meta's own affair: the body is kept as it came.
    document = strict_json.loads(raw, Faults())
    if not isinstance(document, dict):
        raise Malformed("a callback is a JSON object")
    if strict_json.depth(document) > _DEEPEST:
        raise Malformed("the document is nested too deeply")
    return document


def _keep(received: list[meta_events.ReceivedCallback]) -> None:
    meta_events.keep(received, epoch_ms())


def _take(received: list[_Received]) -> None:
    callbacks = [one.callback for one in received]
    meta_events.take(callbacks, received[0].stop_words, epoch_ms())
