"""The routes of our own API."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import falcon

from broadcaster.clock import epoch_ms
from broadcaster.domain import phone, strict_json, timestamps
from broadcaster.errors import Faults, NotFound
from broadcaster.services import (
    channel_setup,
    planning,
    progress,
    steering,
    webhook_targets,
)
from broadcaster.settlement import event_documents, opt_outs
from broadcaster.store import (
    channels,
    contacts,
    conversations,
    counters,
    definitions,
    events,
    statuses,
    suppressions,
    tokens,
    webhooks,
)
from broadcaster.web import requests
from broadcaster.web.own import answers, shapes

_LARGEST_ID = 2**62


def add_routes(app: falcon.App, context: requests.Context) -> None:
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
    def __init__(self, context: requests.Context):
        self.context = context
        self.settings = context.settings
        self.schedule = context.schedule


class Broadcasts(_Resource):
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        caller = requests.caller(request, now, "broadcasts:write")
        query = requests.Query(request, ("dryRun",))
        dry_run = query.flag("dryRun")
        query.check()
        if dry_run:
            faults = Faults()
            spec = shapes.spec(requests.json_object(requests.body(request), faults), faults)
            requests.answer(response, answers.plan(planning.plan(spec, faults, now), now))
            return
        accepted = requests.accept(
            self.context,
            request,
            caller,
            shapes.spec,
            lambda tracked: strict_json.dumps(answers.broadcast(tracked)),
            now,
        )
        requests.answer(response, accepted.answer, 202)
        response.set_header("Location", f"/v1/broadcasts/{accepted.id}")
        if accepted.is_replay:
            response.set_header("Idempotent-Replayed", "true")

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        requests.caller(request, now, "broadcasts:read")
        query = requests.Query(request, ("status", "after", "limit"))
        status = query.one_of("status", statuses.STATUSES)
        before = query.integer("after", None, 1, _LARGEST_ID)
        limit = query.integer("limit", 20, 1, 100)
        query.check()
        found = progress.page(status, before, limit + 1, now)
        _answer_page(response, found, limit, answers.broadcast, lambda progress: progress.facts.id)


class Broadcast(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        now = epoch_ms()
        requests.caller(request, now, "broadcasts:read")
        requests.Query(request, ()).check()
        requests.answer(response, answers.broadcast(progress.of(public_id, now)))


class Messages(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        requests.caller(request, epoch_ms(), "broadcasts:read")
        query = requests.Query(request, ("state", "delivery", "code", "after", "limit"))
        wanted = {
            "state": query.one_of("state", counters.STATES),
            "delivery": query.one_of("delivery", counters.DELIVERIES),
            "error_code": query.text("code"),
        }
        filters = {column: value for column, value in wanted.items() if value is not None}
        after = query.integer("after", 0, 0, _LARGEST_ID)
        as_csv = request.client_prefers(("application/json", "text/csv")) == "text/csv"
        limit = query.integer("limit", 5000 if as_csv else 100, 1, 5000 if as_csv else 1000)
        query.check()
        if as_csv:
            progress.facts(public_id)
            response.content_type = "text/csv; charset=utf-8"
            pages = answers.csv_pages(public_id, filters, after, limit)
            response.stream = (lines.encode() for lines in pages)
            return
        found = progress.messages_of(public_id, filters, after, limit + 1)
        _answer_page(response, found, limit, lambda row: answers.message(row, public_id))


class Moves(_Resource):
    def on_post_stop(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        now = self._allowed(request)
        requests.answer(response, answers.stopped(steering.stop(public_id, now)))

    def on_post_pause(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        now = self._allowed(request)
        requests.answer(response, answers.broadcast(steering.pause(public_id, now)))

    def on_post_resume(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        now = self._allowed(request)
        requests.answer(response, answers.broadcast(steering.resume(public_id, self.schedule, now)))

    def on_post_retry(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        now = epoch_ms()
        requests.caller(request, now, "broadcasts:write")
        query = requests.Query(request, ("code",))
        query.check()
        tracked, count = steering.retry(public_id, query.text("code"), self.schedule, now)
        requests.answer(response, answers.broadcast(tracked) | {"retried": count})

    @staticmethod
    def _allowed(request: falcon.Request) -> int:
        now = epoch_ms()
        requests.caller(request, now, "broadcasts:write")
        requests.Query(request, ()).check()
        return now


class Errors(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        requests.caller(request, epoch_ms(), "broadcasts:read")
        requests.Query(request, ()).check()
        data = [answers.failure(*row) for row in progress.errors(public_id)]
        requests.answer(response, {"data": data, "next": None})


class Message(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response, reference: str) -> None:
        requests.caller(request, epoch_ms(), "broadcasts:read")
        requests.Query(request, ()).check()
        row, broadcast_id = progress.find_message(reference)
        requests.answer(response, answers.message(row, broadcast_id))


class Channels(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        requests.caller(request, epoch_ms(), "channels:read")
        requests.Query(request, ()).check()
        data = [answers.channel(row) for row in channels.all_channels()]
        requests.answer(response, {"data": data, "next": None})

    def on_get_one(self, request: falcon.Request, response: falcon.Response, phone_number_id: str) -> None:
        requests.caller(request, epoch_ms(), "channels:read")
        requests.Query(request, ()).check()
        requests.answer(response, answers.channel(channel_setup.get(phone_number_id)))


class Templates(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        requests.caller(request, epoch_ms(), "templates:read")
        query = requests.Query(request, ("channel", "name", "after", "limit"))
        after = query.integer("after", 0, 0, _LARGEST_ID)
        limit = query.integer("limit", 100, 1, 1000)
        query.check()
        channel, name = query.text("channel"), query.text("name")
        waba_id = channel_setup.get(channel).waba_id if channel is not None else None
        found = definitions.page(waba_id, name, after, limit + 1)
        _answer_page(response, found, limit, answers.template)


class Suppressions(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        requests.caller(request, epoch_ms(), "broadcasts:read")
        query = requests.Query(request, ("to", "after", "limit"))
        limit = query.integer("limit", 100, 1, 1000)
        to, after = _person(query), query.text("after") or ""
        query.check()
        if to is not None:
            one = suppressions.find(to)
            data = [answers.suppression(one)] if one else []
            requests.answer(response, {"data": data, "next": None})
            return
        found = suppressions.page(after, limit + 1)
        _answer_page(response, found, limit, answers.suppression, lambda row: row.recipient)

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        now = epoch_ms()
        requests.caller(request, now, "broadcasts:write")
        requests.Query(request, ()).check()
        faults = Faults()
        people = shapes.people(requests.json_object(requests.body(request), faults), faults)
        new = opt_outs.suppress(people.to, people.reason, "api", now)
        requests.answer(response, {"added": len(new), "known": len(set(people.to)) - len(new)}, 201)

    def on_delete_one(self, request: falcon.Request, response: falcon.Response, person: str) -> None:
        now = epoch_ms()
        requests.caller(request, now, "broadcasts:write")
        requests.Query(request, ()).check()
        if not opt_outs.lift(person, "api", now):
            raise NotFound(f'"{person[:40]}" is not suppressed')
        response.status = 204


class Events(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        requests.caller(request, epoch_ms(), "webhooks:manage", "broadcasts:read")
        query = requests.Query(request, ("after", "limit", "type"))
        after = query.integer("after", 0, 0, _LARGEST_ID)
        limit = query.integer("limit", 100, 1, 1000)
        kind = query.one_of("type", event_documents.TYPES)
        query.check()
        found = events.page(kind, after, limit + 1)
        _answer_page(response, found, limit, answers.event)


class Webhooks(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        self._allowed(request)
        requests.answer(
            response,
            {"data": [answers.webhook(row) for row in webhooks.all_webhooks()], "next": None},
        )

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        now = self._allowed(request)
        faults = Faults()
        shape = requests.valid(
            shapes.WebhookShape, requests.json_object(requests.body(request), faults), faults
        )
        row, secret = webhook_targets.create(shape.url, shape.types, self.settings, self.context.vault, now)
        requests.answer(response, answers.webhook(row) | {"secret": secret}, 201)

    def on_get_one(self, request: falcon.Request, response: falcon.Response, webhook_id: str) -> None:
        self._allowed(request)
        requests.answer(response, answers.webhook(webhook_targets.get(webhook_id)))

    def on_delete_one(self, request: falcon.Request, response: falcon.Response, webhook_id: str) -> None:
        self._allowed(request)
        webhook_targets.remove(webhook_id)
        response.status = 204

    def on_post_test(self, request: falcon.Request, response: falcon.Response, webhook_id: str) -> None:
        webhook_targets.send_test(webhook_id, self._allowed(request))
        requests.answer(response, answers.webhook(webhook_targets.get(webhook_id)), 202)

    def on_post_rotate(self, request: falcon.Request, response: falcon.Response, webhook_id: str) -> None:
        row, secret = webhook_targets.rotate(webhook_id, self.context.vault, self._allowed(request))
        requests.answer(response, answers.webhook(row) | {"secret": secret})

    def on_post_replay(self, request: falcon.Request, response: falcon.Response, webhook_id: str) -> None:
        now = epoch_ms()
        requests.caller(request, now, "webhooks:manage")
        query = requests.Query(request, ("after",))
        after = query.integer("after", 0, 0, _LARGEST_ID)
        query.check()
        count = webhook_targets.replay(webhook_id, after, now)
        requests.answer(response, answers.webhook(webhook_targets.get(webhook_id)) | {"replayed": count}, 202)

    def on_get_deliveries(self, request: falcon.Request, response: falcon.Response, webhook_id: str) -> None:
        requests.caller(request, epoch_ms(), "webhooks:manage")
        query = requests.Query(request, ("after", "limit"))
        before = query.integer("after", None, 1, _LARGEST_ID)
        limit = query.integer("limit", 100, 1, 1000)
        query.check()
        found = webhooks.log(webhook_targets.get(webhook_id).id, before, limit + 1)
        _answer_page(response, found, limit, lambda row: answers.delivery(*row), lambda row: row[0].id)

    @staticmethod
    def _allowed(request: falcon.Request) -> int:
        now = epoch_ms()
        requests.caller(request, now, "webhooks:manage")
        requests.Query(request, ()).check()
        return now


class Contacts(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        requests.caller(request, epoch_ms(), "broadcasts:read")
        query = requests.Query(request, ("to", "after", "limit"))
        after = query.integer("after", 0, 0, _LARGEST_ID)
        limit = query.integer("limit", 100, 1, 1000)
        to = _person(query)
        query.check()
        found = contacts.page(to, after, limit + 1)
        _answer_page(response, found, limit, answers.contact)

    def on_get_one(self, request: falcon.Request, response: falcon.Response, public_id: str) -> None:
        requests.caller(request, epoch_ms(), "broadcasts:read")
        requests.Query(request, ()).check()
        row = contacts.find(public_id)
        if row is None:
            raise NotFound(f'there is no contact "{public_id[:60]}"')
        listed = conversations.page({"contact_id": row.id}, 0, 1000)
        shown = [answers.conversation(one) for one in listed]
        requests.answer(response, answers.contact(row) | {"conversations": shown})


class Conversations(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        requests.caller(request, epoch_ms(), "broadcasts:read")
        query = requests.Query(request, ("assignedTo", "after", "limit"))
        after = query.integer("after", 0, 0, _LARGEST_ID)
        limit = query.integer("limit", 100, 1, 1000)
        query.check()
        assigned_to = query.text("assignedTo")
        filters = {} if assigned_to is None else {"assigned_to": assigned_to}
        found = conversations.page(filters, after, limit + 1)
        _answer_page(response, found, limit, answers.conversation, lambda row: row.facts.id)


class Me(_Resource):
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        caller = requests.authenticated(request, epoch_ms())
        requests.Query(request, ()).check()
        row = tokens.find(caller.token_id)
        document: dict[str, Any] = {
            "id": caller.token_id,
            "name": caller.name,
            "scopes": sorted(caller.scopes),
            "expiresAt": timestamps.format_time(row.expires_at if row else None),
        }
        requests.answer(response, document)


def _answer_page(
    response: falcon.Response,
    found: list[Any],
    limit: int,
    show: Callable[[Any], Any],
    cursor: Callable[[Any], Any] = attrgetter("id"),
) -> None:
    """The first `limit` of what was found, and where the next page begins if more was."""
    following = str(cursor(found[limit - 1])) if len(found) > limit else None
    requests.answer(response, {"data": [show(row) for row in found[:limit]], "next": following})


def _person(query: requests.Query) -> str | None:
    """The number or user id asked for. A + in a query is a blank unless it is escaped."""
    to = query.text("to")
    try:
        return None if to is None else phone.recipient(to.strip())
    except ValueError as error:
        query.faults.add("to", str(error))
        return None
