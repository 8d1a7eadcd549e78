"""The routes of our own API."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import falcon

from broadcaster import (
    broadcasts,
    channels,
    hooks,
    http,
    optouts,
    phone,
    planning,
    wire,
)
from broadcaster.api import answers, shapes
from broadcaster.clock import epoch_ms
from broadcaster.errors import Faults, NotFound
from broadcaster.store import broadcast as ledger
from broadcaster.store import channel as channel_rows
from broadcaster.store import contact as contact_rows
from broadcaster.store import conversation as conversation_rows
from broadcaster.store import event as event_rows
from broadcaster.store import message as message_rows
from broadcaster.store import suppression as suppression_rows
from broadcaster.store import template as template_rows
from broadcaster.store import token as token_rows
from broadcaster.store import webhook as webhook_rows

_LARGEST_ID = 2**62


def add_routes(app: falcon.App, context: http.Context) -> None:
    app.add_route("/v1/broadcasts", Broadcasts(context))
    app.add_route("/v1/broadcasts/{public_id}", Broadcast(context))
    app.add_route("/v1/broadcasts/{public_id}/messages", Messages(context))
    app.add_route("/v1/broadcasts/{public_id}/stop", Moves(context), suffix="stop")
    app.add_route("/v1/broadcasts/{public_id}/pause", Moves(context), suffix="pause")
    app.add_route("/v1/broadcasts/{public_id}/resume", Moves(context), suffix="resume")
    app.add_route("/v1/broadcasts/{public_id}/retry", Moves(context), suffix="retry")
    app.add_route("/v1/broadcasts/{public_id}/errors", Errors(context))
    app.add_route("/v1/suppressions", Suppressions(context))
    app.add_route("/v1/suppressions/{person}", Suppressions(context), suffix="one")
    app.add_route("/v1/events", Events(context))
    app.add_route("/v1/webhooks", Webhooks(context))
    app.add_route("/v1/webhooks/{webhook_id}", Webhooks(context), suffix="one")
    app.add_route("/v1/webhooks/{webhook_id}/test", Webhooks(context), suffix="test")
    app.add_route("/v1/webhooks/{webhook_id}/rotate", Webhooks(context), suffix="rotate")
    app.add_route("/v1/webhooks/{webhook_id}/replay", Webhooks(context), suffix="replay")
    app.add_route("/v1/webhooks/{webhook_id}/deliveries", Webhooks(context), suffix="deliveries")
    app.add_route("/v1/messages/{reference:path}", Message(context))
    app.add_route("/v1/channels", Channels(context))
    app.add_route("/v1/channels/{phone_number_id}", Channels(context), suffix="one")
    app.add_route("/v1/templates", Templates(context))
    app.add_route("/v1/contacts", Contacts(context))
    app.add_route("/v1/contacts/{public_id}", Contacts(context), suffix="one")
    app.add_route("/v1/conversations", Conversations(context))
    app.add_route("/v1/me", Me(context))


class _Resource:
    def __init__(self, context: http.Context):
        self.context = context
        self.settings = context.settings
        self.bell = context.bell


class Broadcasts(_Resource):
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        caller = http.caller(request, now, "broadcasts:write")
        query = http.Query(request, ("dryRun",))
        dry_run = query.flag("dryRun")
        query.check()
        if dry_run:
            faults = Faults()
            spec = shapes.spec(http.json_object(http.body(request), faults), faults)
            http.answer(response, answers.plan(planning.plan(spec, faults, now), self.settings, now))
            return
        answer, is_replay = http.accept(
            self.context,
            request,
            caller,
            shapes.spec,
            lambda progress: wire.dumps(answers.broadcast(progress)),
            now,
        )
        http.answer(response, answer, 202)
        response.set_header("Location", f"/v1/broadcasts/{wire.loads(answer.encode())['id']}")
        if is_replay:
            response.set_header("Idempotent-Replayed", "true")

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        http.caller(request, now, "broadcasts:read")
        query = http.Query(request, ("status", "after", "limit"))
        status = query.one_of("status", ledger.STATUSES)
        before = query.integer("after", None, 1, _LARGEST_ID)
        limit = query.integer("limit", 20, 1, 100)
        query.check()
        found = broadcasts.page(status, before, limit + 1, self.settings, now)
        _answer_page(response, found, limit, answers.broadcast, lambda progress: progress.facts.id)


class Broadcast(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        now = epoch_ms()
        http.caller(request, now, "broadcasts:read")
        http.Query(request, ()).check()
        http.answer(response, answers.broadcast(broadcasts.progress(public_id, self.settings, now)))


class Messages(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        http.caller(request, epoch_ms(), "broadcasts:read")
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
        _answer_page(response, found, limit, lambda row: answers.message(row, public_id))


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

    def on_post_retry(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        now = epoch_ms()
        http.caller(request, now, "broadcasts:write")
        query = http.Query(request, ("code",))
        query.check()
        progress, count = broadcasts.retry(public_id, query.text("code"), self.bell, self.settings, now)
        http.answer(response, answers.broadcast(progress) | {"retried": count})

    @staticmethod
    def _allowed(request: falcon.Request) -> int:
        now = epoch_ms()
        http.caller(request, now, "broadcasts:write")
        http.Query(request, ()).check()
        return now


class Errors(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        http.caller(request, epoch_ms(), "broadcasts:read")
        http.Query(request, ()).check()
        data = [answers.failure(*row) for row in broadcasts.errors(public_id)]
        http.answer(response, {"data": data, "next": None})


class Message(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, reference: str) -> None:
        http.caller(request, epoch_ms(), "broadcasts:read")
        http.Query(request, ()).check()
        row, broadcast_id = broadcasts.find_message(reference)
        http.answer(response, answers.message(row, broadcast_id))


class Channels(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        http.caller(request, epoch_ms(), "channels:read")
        http.Query(request, ()).check()
        data = [answers.channel(row, self.settings) for row in channel_rows.all_channels()]
        http.answer(response, {"data": data, "next": None})

    def on_get_one(self, request: falcon.Request, response: falcon.Response, phone_number_id: str) -> None:
        http.caller(request, epoch_ms(), "channels:read")
        http.Query(request, ()).check()
        http.answer(response, answers.channel(channels.get(phone_number_id), self.settings))


class Templates(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        http.caller(request, epoch_ms(), "templates:read")
        query = http.Query(request, ("channel", "name", "after", "limit"))
        after = query.integer("after", 0, 0, _LARGEST_ID)
        limit = query.integer("limit", 100, 1, 1000)
        query.check()
        channel, name = query.text("channel"), query.text("name")
        waba_id = channels.get(channel).waba_id if channel is not None else None
        found = template_rows.page(waba_id, name, after, limit + 1)
        _answer_page(response, found, limit, answers.template)


class Suppressions(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        http.caller(request, epoch_ms(), "broadcasts:read")
        query = http.Query(request, ("to", "after", "limit"))
        limit = query.integer("limit", 100, 1, 1000)
        to, after = _person(query), query.text("after") or ""
        query.check()
        if to is not None:
            one = suppression_rows.find(to)
            data = [answers.suppression(one)] if one else []
            http.answer(response, {"data": data, "next": None})
            return
        found = suppression_rows.page(after, limit + 1)
        _answer_page(response, found, limit, answers.suppression, lambda row: row.recipient)

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        http.caller(request, now, "broadcasts:write")
        http.Query(request, ()).check()
        faults = Faults()
        people = shapes.people(http.json_object(http.body(request), faults), faults)
        new = optouts.suppress(people.to, people.reason, "api", now)
        http.answer(response, {"added": len(new), "known": len(set(people.to)) - len(new)}, 201)

    def on_delete_one(self, request: falcon.Request, response: falcon.Response, person: str) -> None:
        now = epoch_ms()
        http.caller(request, now, "broadcasts:write")
        http.Query(request, ()).check()
        if not optouts.lift(person, "api", now):
            raise NotFound(f'"{person[:40]}" is not suppressed')
        response.status = 204


class Events(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        http.caller(request, epoch_ms(), "webhooks:manage", "broadcasts:read")
        query = http.Query(request, ("after", "limit", "type"))
        after = query.integer("after", 0, 0, _LARGEST_ID)
        limit = query.integer("limit", 100, 1, 1000)
        kind = query.one_of("type", event_rows.TYPES)
        query.check()
        found = event_rows.page(kind, after, limit + 1)
        _answer_page(response, found, limit, answers.event)


class Webhooks(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        self._allowed(request)
        http.answer(
            response,
            {"data": [answers.webhook(row) for row in webhook_rows.all_webhooks()], "next": None},
        )

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        now = self._allowed(request)
        faults = Faults()
        shape = http.valid(shapes.WebhookShape, http.json_object(http.body(request), faults), faults)
        row, secret = hooks.create(shape.url, shape.types, self.settings, self.context.vault, now)
        http.answer(response, answers.webhook(row) | {"secret": secret}, 201)

    def on_get_one(self, request: falcon.Request, response: falcon.Response, webhook_id: str) -> None:
        self._allowed(request)
        http.answer(response, answers.webhook(hooks.get(webhook_id)))

    def on_delete_one(self, request: falcon.Request, response: falcon.Response, webhook_id: str) -> None:
        self._allowed(request)
        hooks.remove(webhook_id)
        response.status = 204

    def on_post_test(self, request: falcon.Request, response: falcon.Response, webhook_id: str) -> None:
        hooks.send_test(webhook_id, self._allowed(request))
        http.answer(response, answers.webhook(hooks.get(webhook_id)), 202)

    def on_post_rotate(self, request: falcon.Request, response: falcon.Response, webhook_id: str) -> None:
        row, secret = hooks.rotate(webhook_id, self.context.vault, self._allowed(request))
        http.answer(response, answers.webhook(row) | {"secret": secret})

    def on_post_replay(self, request: falcon.Request, response: falcon.Response, webhook_id: str) -> None:
        now = epoch_ms()
        http.caller(request, now, "webhooks:manage")
        query = http.Query(request, ("after",))
        after = query.integer("after", 0, 0, _LARGEST_ID)
        query.check()
        count = hooks.replay(webhook_id, after, now)
        http.answer(response, answers.webhook(hooks.get(webhook_id)) | {"replayed": count}, 202)

    def on_get_deliveries(self, request: falcon.Request, response: falcon.Response, webhook_id: str) -> None:
        http.caller(request, epoch_ms(), "webhooks:manage")
        query = http.Query(request, ("after", "limit"))
        before = query.integer("after", None, 1, _LARGEST_ID)
        limit = query.integer("limit", 100, 1, 1000)
        query.check()
        found = webhook_rows.log(hooks.get(webhook_id).id, before, limit + 1)
        _answer_page(response, found, limit, lambda row: answers.delivery(*row), lambda row: row[0].id)

    @staticmethod
    def _allowed(request: falcon.Request) -> int:
        now = epoch_ms()
        http.caller(request, now, "webhooks:manage")
        http.Query(request, ()).check()
        return now


class Contacts(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        http.caller(request, epoch_ms(), "broadcasts:read")
        query = http.Query(request, ("to", "after", "limit"))
        after = query.integer("after", 0, 0, _LARGEST_ID)
        limit = query.integer("limit", 100, 1, 1000)
        to = _person(query)
        query.check()
        found = contact_rows.page(to, after, limit + 1)
        _answer_page(response, found, limit, answers.contact)

    def on_get_one(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        http.caller(request, epoch_ms(), "broadcasts:read")
        http.Query(request, ()).check()
        row = contact_rows.find(public_id)
        if row is None:
            raise NotFound(f'there is no contact "{public_id[:60]}"')
        conversations = conversation_rows.page({"contact_id": row.id}, 0, 1000)
        shown = [answers.conversation(one) for one in conversations]
        http.answer(response, answers.contact(row) | {"conversations": shown})


class Conversations(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        http.caller(request, epoch_ms(), "broadcasts:read")
        query = http.Query(request, ("assignedTo", "after", "limit"))
        after = query.integer("after", 0, 0, _LARGEST_ID)
        limit = query.integer("limit", 100, 1, 1000)
        query.check()
        assigned_to = query.text("assignedTo")
        filters = {} if assigned_to is None else {"assigned_to": assigned_to}
        found = conversation_rows.page(filters, after, limit + 1)
        _answer_page(response, found, limit, answers.conversation, lambda row: row.facts.id)


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


def _answer_page(
    response: falcon.Response,
    found: list[Any],
    limit: int,
    show: Callable[[Any], Any],
    cursor: Callable[[Any], Any] = attrgetter("id"),
) -> None:
    """The first `limit` of what was found, and where the next page begins if more was."""
    following = str(cursor(found[limit - 1])) if len(found) > limit else None
    http.answer(response, {"data": [show(row) for row in found[:limit]], "next": following})


def _person(query: http.Query) -> str | None:
    """The number or user id asked for. A + in a query is a blank unless it is escaped."""
    to = query.text("to")
    try:
        return None if to is None else phone.recipient(to.strip())
    except ValueError as error:
        query.faults.add("to", str(error))
        return None
