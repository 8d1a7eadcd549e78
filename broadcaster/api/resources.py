"""The routes of our own API."""

import hashlib
from typing import Any

import falcon

from broadcaster import broadcasts, channels, http, wire
from broadcaster.api import answers, shapes
from broadcaster.broadcasts import Once
from broadcaster.clock import epoch_ms
from broadcaster.errors import Faults, Invalid
from broadcaster.store import broadcast as ledger
from broadcaster.store import channel as channel_rows
from broadcaster.store import message as message_rows
from broadcaster.store import template as template_rows
from broadcaster.store import token as token_rows

_LARGEST_ID = 2**62


def add_routes(app: falcon.App, context: http.Context) -> None:
    app.add_route("/v1/broadcasts", Broadcasts(context))
    app.add_route("/v1/broadcasts/{public_id}", Broadcast(context))
    app.add_route("/v1/broadcasts/{public_id}/messages", Messages(context))
    app.add_route("/v1/broadcasts/{public_id}/stop", Moves(context), suffix="stop")
    app.add_route("/v1/broadcasts/{public_id}/pause", Moves(context), suffix="pause")
    app.add_route("/v1/broadcasts/{public_id}/resume", Moves(context), suffix="resume")
    app.add_route("/v1/messages/{reference:path}", Message(context))
    app.add_route("/v1/channels", Channels(context))
    app.add_route("/v1/channels/{phone_number_id}", Channels(context), suffix="one")
    app.add_route("/v1/templates", Templates(context))
    app.add_route("/v1/me", Me(context))


class _Resource:
    def __init__(self, context: http.Context):
        self.settings = context.settings
        self.bell = context.bell


class Broadcasts(_Resource):
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        caller = http.caller(request, "broadcasts:write", now)
        query = http.Query(request, ("dryRun",))
        dry_run = query.flag("dryRun")
        raw = http.body(request)
        once = _once(request, caller.token_id, raw, query.faults)
        query.check()
        replayed = broadcasts.replay(once) if once and not dry_run else None
        if replayed is not None:
            _accepted(response, replayed, True)
            return
        faults = Faults()
        spec = shapes.spec(http.json_object(raw, faults), faults)
        plan = broadcasts.plan(spec, faults, self.settings, now)
        if dry_run:
            http.answer(response, answers.plan(plan, self.settings, now))
            return
        answer, is_replay = broadcasts.submit(
            plan,
            self.bell,
            self.settings,
            lambda progress: wire.dumps(answers.broadcast(progress)),
            now,
            token_id=caller.token_id,
            once=once,
        )
        _accepted(response, answer, is_replay)

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        http.caller(request, "broadcasts:read", now)
        query = http.Query(request, ("status", "after", "limit"))
        status = query.one_of("status", ledger.STATUSES)
        before = query.integer("after", None, 1, _LARGEST_ID)
        limit = query.integer("limit", 20, 1, 100)
        query.check()
        found = broadcasts.page(status, before, limit + 1, self.settings, now)
        following = str(found[limit - 1].facts.id) if len(found) > limit else None
        data = [answers.broadcast(progress) for progress in found[:limit]]
        http.answer(response, {"data": data, "next": following})


class Broadcast(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        now = epoch_ms()
        http.caller(request, "broadcasts:read", now)
        http.Query(request, ()).check()
        http.answer(response, answers.broadcast(broadcasts.progress(public_id, self.settings, now)))


class Messages(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        http.caller(request, "broadcasts:read", epoch_ms())
        query = http.Query(request, ("state", "delivery", "code", "after", "limit"))
        wanted = {
            "state": query.one_of("state", message_rows.STATES),
            "delivery": query.one_of("delivery", message_rows.DELIVERIES),
            "error_code": query.text("code"),
        }
        filters = {column: value for column, value in wanted.items() if value is not None}
        after = query.integer("after", 0, 0, _LARGEST_ID)
        as_csv = request.client_prefers(("application/json", "text/csv")) == "text/csv"
        limit = query.integer("limit", 5000 if as_csv else 100, 1, 5000 if as_csv else 1000)
        query.check()
        if as_csv:
            broadcasts.get(public_id)
            response.content_type = "text/csv; charset=utf-8"
            pages = answers.csv_pages(public_id, filters, after, limit)
            response.stream = (lines.encode() for lines in pages)
            return
        found = broadcasts.messages(public_id, filters, after, limit + 1)
        following = str(found[limit - 1].id) if len(found) > limit else None
        data = [answers.message(row, public_id) for row in found[:limit]]
        http.answer(response, {"data": data, "next": following})


class Moves(_Resource):
    def on_post_stop(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        now = self._allowed(request)
        http.answer(response, answers.stopped(broadcasts.stop(public_id, self.settings, now)))

    def on_post_pause(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        now = self._allowed(request)
        http.answer(response, answers.broadcast(broadcasts.pause(public_id, self.settings, now)))

    def on_post_resume(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        now = self._allowed(request)
        http.answer(response, answers.broadcast(broadcasts.resume(public_id, self.bell, self.settings, now)))

    @staticmethod
    def _allowed(request: falcon.Request) -> int:
        now = epoch_ms()
        http.caller(request, "broadcasts:write", now)
        http.Query(request, ()).check()
        return now


class Message(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, reference: str) -> None:
        http.caller(request, "broadcasts:read", epoch_ms())
        http.Query(request, ()).check()
        row, broadcast_id = broadcasts.find_message(reference)
        http.answer(response, answers.message(row, broadcast_id))


class Channels(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        http.caller(request, "channels:read", epoch_ms())
        http.Query(request, ()).check()
        data = [answers.channel(row, self.settings) for row in channel_rows.all_channels()]
        http.answer(response, {"data": data, "next": None})

    def on_get_one(self, request: falcon.Request, response: falcon.Response, phone_number_id: str) -> None:
        http.caller(request, "channels:read", epoch_ms())
        http.Query(request, ()).check()
        http.answer(response, answers.channel(channels.get(phone_number_id), self.settings))


class Templates(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        http.caller(request, "templates:read", epoch_ms())
        query = http.Query(request, ("channel", "name", "after", "limit"))
        after = query.integer("after", 0, 0, _LARGEST_ID)
        limit = query.integer("limit", 100, 1, 1000)
        query.check()
        channel, name = query.text("channel"), query.text("name")
        waba_id = channels.get(channel).waba_id if channel is not None else None
        found = template_rows.page(waba_id, name, after, limit + 1)
        following = str(found[limit - 1].id) if len(found) > limit else None
        http.answer(response, {"data": [answers.template(row) for row in found[:limit]], "next": following})


class Me(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        caller = http.authenticated(request, epoch_ms())
        http.Query(request, ()).check()
        row = token_rows.find(caller.token_id)
        document: dict[str, Any] = {
            "id": caller.token_id,
            "name": caller.name,
            "scopes": sorted(caller.scopes),
            "expiresAt": wire.format_time(row.expires_at if row else None),
        }
        http.answer(response, document)


def _accepted(response: falcon.Response, answer: str, is_replay: bool) -> None:
    http.answer(response, answer, 202)
    response.set_header("Location", f"/v1/broadcasts/{wire.loads(answer.encode())['id']}")
    if is_replay:
        response.set_header("Idempotent-Replayed", "true")


def _once(request: falcon.Request, token_id: str, raw: bytes, faults: Faults) -> Once | None:
    key = request.get_header("Idempotency-Key")
    if key is None:
        return None
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        faults.add("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
        raise Invalid(faults)
    return Once(token_id, key, hashlib.sha256(raw).hexdigest())
