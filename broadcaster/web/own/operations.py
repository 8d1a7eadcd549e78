"""The operations of our own API."""

from collections.abc import Iterator
from dataclasses import replace

from broadcaster.errors import Faults, Invalid, NotFound
from broadcaster.services import channel_setup, contact_book, progress, steering, webhook_targets
from broadcaster.settlement import opt_outs
from broadcaster.store import (
    channels,
    contacts,
    conversations,
    definitions,
    events,
    suppressions,
    tokens,
    webhooks,
)
from broadcaster.web import acceptance
from broadcaster.web.bodies import Body
from broadcaster.web.operations import Api, Call, Reply, Text
from broadcaster.web.own import answers, bodies, message_csv, queries
from broadcaster.web.own.answers import Page
from broadcaster.web.own.refusals import PROBLEM_TYPE, refuse

own = Api("broadcaster", refuse, ".*", media=PROBLEM_TYPE, is_strict=True)


class Csv(Text):
    media = "text/csv; charset=utf-8"


# Broadcasts


@own.post(
    "/v1/broadcasts",
    "broadcasts:write",
    status=202,
    also={200: answers.Plan},
    once=True,
    example=bodies.NEW_BROADCAST,
)
def create_broadcast(
    call: Call, query: queries.DryRun, body: Body[bodies.NewBroadcast]
) -> Reply[answers.Broadcast] | Reply[answers.Plan]:
    """Accept a broadcast; with dryRun=true say what would happen and store nothing"""
    if query.dryRun == "true":
        return Reply(answers.plan(acceptance.plan(call, body, bodies.spec), call.now), 200)
    accepted = acceptance.accept(call, body, bodies.spec, answers.broadcast)
    headers = {"Location": f"/v1/broadcasts/{accepted.id}"}
    if accepted.is_replay:
        headers["Idempotent-Replayed"] = "true"
    return replace(accepted.reply, headers=headers)


@own.get("/v1/broadcasts", "broadcasts:read")
def list_broadcasts(call: Call, query: queries.BroadcastListing) -> Page[answers.Broadcast]:
    """Broadcasts, newest first"""
    found = progress.page(query.status, query.after, query.limit + 1, call.now)
    return answers.page(found, query.limit, answers.broadcast, lambda tracked: tracked.facts.id)


@own.get("/v1/broadcasts/{public_id}", "broadcasts:read")
def get_broadcast(call: Call, public_id: str) -> answers.Broadcast:
    """Where a broadcast stands"""
    return answers.broadcast(progress.of(public_id, call.now))


@own.get("/v1/broadcasts/{public_id}/messages", "broadcasts:read")
def list_messages(
    call: Call, public_id: str, query: queries.MessageListing
) -> Page[answers.Message] | Reply[Csv]:
    """A broadcast's messages; as CSV with Accept: text/csv"""
    wanted = {"state": query.state, "delivery": query.delivery, "error_code": query.code}
    filters = {column: str(value) for column, value in wanted.items() if value is not None}
    if call.request.client_prefers(("application/json", "text/csv")) == "text/csv":
        return Reply(Csv(_csv(public_id, filters, query.after, query.limit or queries.MOST_CSV_ROWS)))
    limit = _limit_of_json(query)
    found = progress.messages_of(public_id, filters, query.after, limit + 1)
    return answers.page(found, limit, lambda row: answers.message(row, public_id))


def _csv(public_id: str, filters: dict[str, str], after: int, limit: int) -> Iterator[bytes]:
    """Lines of CSV; raises NotFound before the first is asked for."""
    progress.facts(public_id)
    return (lines.encode() for lines in message_csv.csv_pages(public_id, filters, after, limit))


def _limit_of_json(query: queries.MessageListing) -> int:
    """Raises Invalid for more rows than JSON comes with."""
    limit = query.limit or 100
    if limit > queries.MOST_ROWS:
        faults = Faults()
        faults.add("limit", f"must be a whole number from 1 to {queries.MOST_ROWS}")
        raise Invalid(faults)
    return limit


@own.get("/v1/broadcasts/{public_id}/errors", "broadcasts:read")
def list_failures(call: Call, public_id: str) -> Page[answers.Failure]:
    """Why messages failed, by code"""
    return answers.whole([answers.failure(*row) for row in progress.errors(public_id)])


@own.post("/v1/broadcasts/{public_id}/stop", "broadcasts:write")
def stop_broadcast(call: Call, public_id: str) -> answers.StoppedBroadcast:
    """Cancel what has not left; cannot be undone"""
    return answers.stopped(steering.stop(public_id, call.now))


@own.post("/v1/broadcasts/{public_id}/pause", "broadcasts:write")
def pause_broadcast(call: Call, public_id: str) -> answers.Broadcast:
    """Hold a broadcast until it is resumed"""
    return answers.broadcast(steering.pause(public_id, call.now))


@own.post("/v1/broadcasts/{public_id}/resume", "broadcasts:write")
def resume_broadcast(call: Call, public_id: str) -> answers.Broadcast:
    """Let a broadcast go on, and its channel"""
    return answers.broadcast(steering.resume(public_id, call.context.schedule, call.now))


@own.post("/v1/broadcasts/{public_id}/retry", "broadcasts:write")
def retry_broadcast(call: Call, public_id: str, query: queries.Retry) -> answers.RetriedBroadcast:
    """Send failed messages again"""
    tracked, count = steering.retry(public_id, query.code, call.context.schedule, call.now)
    return {**answers.broadcast(tracked), "retried": count}


@own.get("/v1/messages/{reference:path}", "broadcasts:read")
def get_message(call: Call, reference: str) -> answers.Message:
    """One message by its id or its wamid"""
    row, broadcast_id = progress.find_message(reference)
    return answers.message(row, broadcast_id)


# Channels and templates


@own.get("/v1/channels", "channels:read")
def list_channels(call: Call) -> Page[answers.Channel]:
    """The numbers that send"""
    return answers.whole([answers.channel(row) for row in channels.all_channels()])


@own.get("/v1/channels/{phone_number_id}", "channels:read")
def get_channel(call: Call, phone_number_id: str) -> answers.Channel:
    """One number"""
    return answers.channel(channel_setup.get(phone_number_id))


@own.get("/v1/templates", "templates:read", errors=(404,))
def list_templates(call: Call, query: queries.TemplateListing) -> Page[answers.Template]:
    """Templates with the variables they ask for"""
    waba_id = None if query.channel is None else channel_setup.get(query.channel).waba_id
    found = definitions.page(waba_id, query.name, query.after, query.limit + 1)
    return answers.page(found, query.limit, answers.template)


# People


@own.get("/v1/contacts", "broadcasts:read")
def list_contacts(call: Call, query: queries.ContactListing) -> Page[answers.Contact]:
    """People ever written to"""
    found = contacts.page(query.to, query.after, query.limit + 1)
    return answers.page(found, query.limit, answers.contact)


@own.get("/v1/contacts/{public_id}", "broadcasts:read")
def get_contact(call: Call, public_id: str) -> answers.ContactDetails:
    """One person: every name, the opt-out, the conversations and the last messages"""
    return answers.contact_details(contact_book.known(public_id))


@own.get("/v1/conversations", "broadcasts:read")
def list_conversations(call: Call, query: queries.ConversationListing) -> Page[answers.Conversation]:
    """A channel and a person each"""
    filters = {} if query.assignedTo is None else {"assigned_to": query.assignedTo}
    found = conversations.page(filters, query.after, query.limit + 1)
    return answers.page(found, query.limit, answers.conversation, lambda row: row.facts.id)


@own.get("/v1/suppressions", "broadcasts:read")
def list_suppressions(call: Call, query: queries.SuppressionListing) -> Page[answers.Suppression]:
    """Who wants no marketing"""
    if query.to is not None:
        one = suppressions.find(query.to)
        return answers.whole([answers.suppression(one)] if one else [])
    found = suppressions.page(query.after, query.limit + 1)
    return answers.page(found, query.limit, answers.suppression, lambda row: row.recipient)


@own.post(
    "/v1/suppressions",
    "broadcasts:write",
    status=201,
    example=bodies.NEW_SUPPRESSIONS,
    largest=bodies.LARGEST_SUPPRESSIONS,
)
def add_suppressions(call: Call, body: bodies.NewSuppressions) -> answers.AddedSuppressions:
    """Send these people no marketing"""
    new = opt_outs.suppress(body.to, body.reason, "api", call.now)
    return {"added": len(new), "known": len(set(body.to)) - len(new)}


@own.delete("/v1/suppressions/{person}", "broadcasts:write", status=204)
def delete_suppression(call: Call, person: str) -> None:
    """Marketing may go to this person again"""
    if not opt_outs.lift(person, "api", call.now, call.context.settings.default_country):
        raise NotFound(f'"{person[:40]}" is not suppressed')


# Events and webhooks


@own.get("/v1/events", "webhooks:manage", "broadcasts:read")
def list_events(call: Call, query: queries.EventListing) -> Page[answers.Event]:
    """What happened, oldest first, to poll"""
    found = events.page(query.type, query.after, query.limit + 1)
    return answers.page(found, query.limit, answers.event)


@own.get("/v1/webhooks", "webhooks:manage")
def list_webhooks(call: Call) -> Page[answers.Webhook]:
    """Who is told of events"""
    return answers.whole([answers.webhook(row) for row in webhooks.all_webhooks()])


@own.post("/v1/webhooks", "webhooks:manage", status=201, example=bodies.NEW_WEBHOOK)
def create_webhook(call: Call, body: bodies.NewWebhook) -> answers.WebhookWithSecret:
    """Tell an address of events; the secret is shown this once"""
    settings, vault = call.context.settings, call.context.vault
    row, secret = webhook_targets.create(body.url, body.types, settings, vault, call.now)
    return {**answers.webhook(row), "secret": secret}


@own.get("/v1/webhooks/{webhook_id}", "webhooks:manage")
def get_webhook(call: Call, webhook_id: str) -> answers.Webhook:
    """One webhook"""
    return answers.webhook(webhook_targets.get(webhook_id))


@own.delete("/v1/webhooks/{webhook_id}", "webhooks:manage", status=204)
def delete_webhook(call: Call, webhook_id: str) -> None:
    """Tell it nothing more"""
    webhook_targets.remove(webhook_id)


@own.post("/v1/webhooks/{webhook_id}/test", "webhooks:manage", status=202)
def test_webhook(call: Call, webhook_id: str) -> answers.Webhook:
    """Deliver an event that says nothing"""
    webhook_targets.send_test(webhook_id, call.now)
    return answers.webhook(webhook_targets.get(webhook_id))


@own.post("/v1/webhooks/{webhook_id}/rotate", "webhooks:manage")
def rotate_webhook_secret(call: Call, webhook_id: str) -> answers.WebhookWithSecret:
    """A new secret; the one before signs for a day more"""
    row, secret = webhook_targets.rotate(webhook_id, call.context.vault, call.now)
    return {**answers.webhook(row), "secret": secret}


@own.post("/v1/webhooks/{webhook_id}/replay", "webhooks:manage", status=202)
def replay_webhook(call: Call, webhook_id: str, query: queries.AfterEvent) -> answers.ReplayedWebhook:
    """Deliver once more what happened after an event"""
    count = webhook_targets.replay(webhook_id, query.after, call.now)
    return {**answers.webhook(webhook_targets.get(webhook_id)), "replayed": count}


@own.get("/v1/webhooks/{webhook_id}/deliveries", "webhooks:manage")
def list_webhook_deliveries(
    call: Call, webhook_id: str, query: queries.DeliveryListing
) -> Page[answers.WebhookDelivery]:
    """How each event got there, newest first"""
    found = webhooks.log(webhook_targets.get(webhook_id).id, query.after, query.limit + 1)
    return answers.page(found, query.limit, lambda row: answers.delivery(*row), lambda row: row[0].id)


# The caller


@own.get("/v1/me", any_token=True)
def get_me(call: Call) -> answers.Me:
    """What the token may do"""
    return answers.me(call.caller, tokens.find(call.caller.token_id))
