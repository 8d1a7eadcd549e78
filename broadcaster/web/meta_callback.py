"""The face Meta speaks to: /callbacks/meta. Nothing is read before its signature is found right."""

import hashlib
import hmac
from collections.abc import Sequence
from functools import partial

import falcon

from broadcaster import log
from broadcaster.clock import epoch_ms
from broadcaster.domain import strict_json
from broadcaster.errors import Faults, Forbidden, Malformed, Unauthorized
from broadcaster.meta import payloads
from broadcaster.services import meta_events
from broadcaster.store import database
from broadcaster.web import metrics, requests

LARGEST = 4 * 1024 * 1024
"""Bytes; Meta's are at most 3 MB (Meta, webhooks)."""
_DEEPEST = 40

logger = log.get(__name__)


def add_routes(app: falcon.App, context: requests.Context) -> None:
    app.add_route("/callbacks/meta", Callbacks(context))


class Callbacks:
    def __init__(self, context: requests.Context):
        self._settings = context.settings
        self._gather = context.gather
        self._take = partial(_take, context.settings.stop_words)

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Meta asks whether this is the endpoint somebody configured."""
        wanted, shown = self._settings.verify_token, request.get_param("hub.verify_token", default="")
        mode, challenge = request.get_param("hub.mode"), request.get_param("hub.challenge", default="")
        same = bool(wanted) and hmac.compare_digest((wanted or "").encode(), shown.encode())
        if mode != "subscribe" or not same:
            raise Forbidden("the verify token is not ours")
        response.content_type = "text/plain"
        response.text = challenge

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Take a callback; 200 once everything in it is durable."""
        if (request.content_length or 0) > LARGEST:
            raise requests.TooLarge(f"a callback has at most {LARGEST} bytes")
        raw = request.bounded_stream.read(LARGEST + 1)
        self._check(raw, request.get_header("X-Hub-Signature-256"))
        document = _document(raw)
        received = meta_events.ReceivedCallback(raw.decode(), payloads.read(document))
        with metrics.timed_callback():
            self._store(received)
        response.status = 200
        response.content_type = "text/plain"
        response.text = "ok"

    def _store(self, received: meta_events.ReceivedCallback) -> None:
        try:
            self._gather(self._take, received)
        except Exception as error:
            if database.is_trouble(error):
                raise
            # Meta would send it again for days: keep it, and replay it once the fault is mended.
            logger.exception("a callback was kept but not understood")
            self._gather(_keep, received)

    def _check(self, raw: bytes, signature: str | None) -> None:
        """Raises Unauthorized unless one of our secrets made the signature over these very bytes."""
        # While Meta's secret rotates both hold; all are tried, so that time tells nothing.
        secrets = [secret for secret in (self._settings.app_secret or "").split(",") if secret.strip()]
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


def _take(stop_words: Sequence[str], received: list[meta_events.ReceivedCallback]) -> None:
    meta_events.take(received, stop_words, epoch_ms())
