"""Our own API's operations, described."""

from broadcaster.settlement import event_documents
from broadcaster.store import counters, statuses
from broadcaster.web.description import (
    ALWAYS,
    IDEMPOTENT,
    KEY,
    OF_BODIES,
    Face,
    Operation,
    Parameter,
    Text,
    choice,
    integer,
)
from broadcaster.web.own import shapes
from broadcaster.web.requests import PROBLEM_TYPE

_WRITE, _READ, _HOOKS = ("broadcasts:write",), ("broadcasts:read",), ("webhooks:manage",)
_ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
_AT = "2026-06-10T07:00:00.000Z"
_NUMBER = "+905554443301"
_LARGEST_ID = 2**62
_ANSWERS = (400, 404, *ALWAYS)
_LIST = (400, *ALWAYS)

_BROADCAST = {
    "id": _ID,
    "title": "Orders of today",
    "status": "sending",
    "channel": "813497231850626",
    "template": {"name": "order_update", "language": "en"},
    "priority": "normal",
    "metadata": {"crm": 17},
    "scheduleAt": None,
    "createdAt": _AT,
    "startedAt": _AT,
    "finishedAt": None,
    "late": False,
    "stats": {"pending": 12, "success": 286, "failed": 2, "cancelled": 0, "total": 300},
    "inFlight": 4,
    "unknown": 0,
    "duplicates": 1,
    "delivery": {"sent": 40, "delivered": 180, "read": 60, "failed": 1},
    "pace": 80.0,
    "estimatedFinishAt": _AT,
    "quota": {"tier": "TIER_1K", "total": 1000, "available": 712, "needed": 12, "opensAt": None},
    "whyWaiting": {"reason": "pace", "until": None, "detail": None},
}
_MESSAGE = {
    "id": 4711,
    "broadcast": _ID,
    "to": _NUMBER,
    "state": "sent",
    "delivery": "read",
    "attempts": 1,
    "wamid": "wamid.HBgMOTA1NTU0NDQzMzAxFQIAERgS",
    "error": {"code": "131026", "message": "unreachable"},
    "variables": {"name": "Ana"},
    "metadata": {"order": "A-1"},
    "sentAt": _AT,
    "deliveredAt": _AT,
    "readAt": _AT,
    "failedAt": None,
    "pricing": {"billable": True, "category": "utility"},
    "possibleDuplicate": False,
    "nextAttemptAt": None,
}
_PLAN = {
    "channel": "813497231850626",
    "template": {"name": "order_update", "language": "en"},
    "recipients": 300,
    "valid": 297,
    "invalid": 1,
    "suppressed": 1,
    "duplicates": 1,
    "pace": 16.7,
    "tier": "TIER_1K",
    "quota": _BROADCAST["quota"],
    "startAt": _AT,
    "estimatedFinishAt": _AT,
    "notes": [{"field": "recipients[0].variables", "message": "a coupon of more than 15 characters"}],
    "preview": {"header": None, "body": "Hi Ana", "footer": None, "buttons": [], "cards": []},
}
_CHANNEL = {
    "id": "813497231850626",
    "wabaId": "102290129340398",
    "portfolio": "102290129340398",
    "displayPhoneNumber": "+1 555-0101",
    "verifiedName": "Tea shop",
    "status": "CONNECTED",
    "verified": True,
    "qualityRating": "GREEN",
    "tier": "TIER_1K",
    "throughput": "STANDARD",
    "coexistence": False,
    "pace": 16.7,
    "paused": {"reason": "token", "detail": "190: the access token has expired"},
    "createdAt": _AT,
    "syncedAt": _AT,
}
_TEMPLATE = {
    "name": "order_update",
    "language": "en",
    "status": "APPROVED",
    "category": "UTILITY",
    "quality": "GREEN",
    "wabaId": "102290129340398",
    "parameterFormat": "NAMED",
    "variables": [{"component": "BODY", "key": "name", "type": "TEXT", "required": True}],
    "unsupported": [],
    "components": [{"type": "BODY", "text": "Hi {{name}}"}],
    "syncedAt": _AT,
}
_CONVERSATION = {
    "id": "cv_9",
    "contact": "ct_5",
    "to": _NUMBER,
    "channel": "813497231850626",
    "createdAt": _AT,
    "lastSentAt": _AT,
    "assignedTo": {"key": "assign-to-user", "value": "u-7", "at": _AT},
}
_CONTACT = {"id": "ct_5", "to": _NUMBER, "name": "Ana", "createdAt": _AT}
_OPT_OUT = {"to": _NUMBER, "reason": "asked on the phone", "source": "api", "createdAt": _AT}
_EVENT = {"id": 12, "type": "broadcast.finished", "timestamp": _AT, "data": {"broadcast": _ID}}
_HOOK = {
    "id": "wh_1",
    "url": "https://crm.example/hooks",
    "types": ["broadcast.finished"],
    "createdAt": _AT,
    "disabledAt": None,
    "disabledReason": None,
}
_HOOK_MADE = _HOOK | {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
_DELIVERY = {
    "id": 3,
    "event": 12,
    "type": "broadcast.finished",
    "state": "delivered",
    "attempts": 1,
    "answer": "HTTP 200",
    "triedAt": _AT,
    "nextAttemptAt": None,
}
_REQUEST = {
    "channel": "100000000000001",
    "title": "Orders of today",
    "template": {"name": "appointment", "language": "en"},
    "recipients": [
        {"to": _NUMBER, "variables": ["Ana", "Monday", "10:00", "your papers"]},
        {"to": "+905554443302", "variables": {"1": "Ben", "2": "Friday", "3": "11:00", "4": "your papers"}},
    ],
}
_AFTER = integer("after", 0, _LARGEST_ID, text="The cursor of the page before.")
_LIMIT = integer("limit", 1, 1000, 100)
_TO = Parameter("to", {"type": "string", "maxLength": 200}, "A number (escape its + as %2B) or a user id.")


def _page(row: object) -> dict[str, object]:
    return {"data": [row], "next": "12"}


def _get(
    path: str,
    summary: str,
    scopes: tuple[str, ...],
    answer: object,
    *query: Parameter,
    errors: tuple[int, ...] = _LIST,
) -> Operation:
    return Operation("get", path, summary, scopes, {200: answer}, errors, query)


def _move(name: str, summary: str, answer: object, *query: Parameter) -> Operation:
    return Operation(
        "post", f"/v1/broadcasts/{{public_id}}/{name}", summary, _WRITE, {200: answer}, _ANSWERS, query
    )


FACE = Face(
    "broadcaster",
    (
        Operation(
            "post",
            "/v1/broadcasts",
            "Accept a broadcast; with dryRun=true say what would happen and store nothing",
            _WRITE,
            {202: _BROADCAST, 200: _PLAN},
            (*OF_BODIES, *IDEMPOTENT, *ALWAYS),
            (choice("dryRun", ("true", "false")),),
            (KEY,),
            shapes.BroadcastShape,
            ("recipients", shapes.RecipientShape),
            _REQUEST,
        ),
        _get(
            "/v1/broadcasts",
            "Broadcasts, newest first",
            _READ,
            _page(_BROADCAST),
            choice("status", statuses.STATUSES),
            integer("after", 1, _LARGEST_ID),
            integer("limit", 1, 100, 20),
        ),
        _get("/v1/broadcasts/{public_id}", "Where a broadcast stands", _READ, _BROADCAST, errors=_ANSWERS),
        Operation(
            "get",
            "/v1/broadcasts/{public_id}/messages",
            "A broadcast's messages; as CSV with Accept: text/csv",
            _READ,
            {200: (_page(_MESSAGE), Text("text/csv", "id,to,state\r\n4711,905554443301,sent\r\n"))},
            _ANSWERS,
            (
                choice("state", counters.STATES),
                choice("delivery", counters.DELIVERIES),
                Parameter("code", {"type": "string"}),
                _AFTER,
                _LIMIT,
            ),
        ),
        _get(
            "/v1/broadcasts/{public_id}/errors",
            "Why messages failed, by code",
            _READ,
            _page({"code": "131026", "count": 2, "meaning": "...", "advice": "...", "text": "unreachable"}),
            errors=_ANSWERS,
        ),
        _move(
            "stop",
            "Cancel what has not left; cannot be undone",
            _BROADCAST | {"stopped": {"cancelled": 12, "inFlight": 4}},
        ),
        _move("pause", "Hold a broadcast until it is resumed", _BROADCAST),
        _move("resume", "Let a broadcast go on, and its channel", _BROADCAST),
        _move(
            "retry",
            "Send failed messages again",
            _BROADCAST | {"retried": 2},
            Parameter("code", {"type": "string"}, "Only those that failed with it."),
        ),
        _get(
            "/v1/messages/{reference}", "One message by its id or its wamid", _READ, _MESSAGE, errors=_ANSWERS
        ),
        _get("/v1/channels", "The numbers that send", ("channels:read",), _page(_CHANNEL)),
        _get("/v1/channels/{phone_number_id}", "One number", ("channels:read",), _CHANNEL, errors=_ANSWERS),
        _get(
            "/v1/templates",
            "Templates with the variables they ask for",
            ("templates:read",),
            _page(_TEMPLATE),
            Parameter("channel", {"type": "string"}),
            Parameter("name", {"type": "string"}),
            _AFTER,
            _LIMIT,
            errors=_ANSWERS,
        ),
        _get("/v1/contacts", "People ever written to", _READ, _page(_CONTACT), _TO, _AFTER, _LIMIT),
        _get(
            "/v1/contacts/{public_id}",
            "One person with the conversations",
            _READ,
            _CONTACT | {"conversations": [_CONVERSATION]},
            errors=_ANSWERS,
        ),
        _get(
            "/v1/conversations",
            "A channel and a person each",
            _READ,
            _page(_CONVERSATION),
            Parameter("assignedTo", {"type": "string"}),
            _AFTER,
            _LIMIT,
        ),
        _get(
            "/v1/suppressions",
            "Who wants no marketing",
            _READ,
            _page(_OPT_OUT),
            _TO,
            Parameter("after", {"type": "string"}),
            _LIMIT,
        ),
        Operation(
            "post",
            "/v1/suppressions",
            "Send these people no marketing",
            _WRITE,
            {201: {"added": 1, "known": 0}},
            (*OF_BODIES, *ALWAYS),
            body=shapes.PeopleShape,
            sample={"to": [_NUMBER], "reason": "asked on the phone"},
        ),
        Operation(
            "delete",
            "/v1/suppressions/{person}",
            "Marketing may go to this person again",
            _WRITE,
            {204: None},
            _ANSWERS,
        ),
        _get(
            "/v1/events",
            "What happened, oldest first, to poll",
            ("webhooks:manage", "broadcasts:read"),
            _page(_EVENT),
            choice("type", event_documents.TYPES),
            _AFTER,
            _LIMIT,
        ),
        _get("/v1/webhooks", "Who is told of events", _HOOKS, _page(_HOOK)),
        Operation(
            "post",
            "/v1/webhooks",
            "Tell an address of events; the secret is shown this once",
            _HOOKS,
            {201: _HOOK_MADE},
            (*OF_BODIES, *ALWAYS),
            body=shapes.WebhookShape,
            sample={"url": "https://1.1.1.1/hooks", "types": ["broadcast.finished"]},
        ),
        _get("/v1/webhooks/{webhook_id}", "One webhook", _HOOKS, _HOOK, errors=_ANSWERS),
        Operation(
            "delete", "/v1/webhooks/{webhook_id}", "Tell it nothing more", _HOOKS, {204: None}, _ANSWERS
        ),
        Operation(
            "post",
            "/v1/webhooks/{webhook_id}/test",
            "Deliver an event that says nothing",
            _HOOKS,
            {202: _HOOK},
            _ANSWERS,
        ),
        Operation(
            "post",
            "/v1/webhooks/{webhook_id}/rotate",
            "A new secret; the one before signs for a day more",
            _HOOKS,
            {200: _HOOK_MADE},
            _ANSWERS,
        ),
        Operation(
            "post",
            "/v1/webhooks/{webhook_id}/replay",
            "Deliver once more what happened after an event",
            _HOOKS,
            {202: _HOOK | {"replayed": 3}},
            _ANSWERS,
            (_AFTER,),
        ),
        _get(
            "/v1/webhooks/{webhook_id}/deliveries",
            "How each event got there, newest first",
            _HOOKS,
            _page(_DELIVERY),
            integer("after", 1, _LARGEST_ID),
            _LIMIT,
            errors=_ANSWERS,
        ),
        _get(
            "/v1/me",
            "What the token may do",
            (),
            {"id": "7Hq2mZ0aXk3P", "name": "crm", "scopes": ["broadcasts:read"], "expiresAt": None},
            errors=(400, 401, 503),
        ),
        Operation(
            "get",
            "/callbacks/meta",
            "Meta asks whether the address is ours",
            answers={200: Text("text/plain", "1")},
            errors=(400, 403),
            query=tuple(
                Parameter(f"hub.{n}", {"type": "string"}) for n in ("mode", "verify_token", "challenge")
            ),
        ),
        Operation(
            "post",
            "/callbacks/meta",
            "Meta's webhooks, signed with the app's secret",
            answers={200: Text("text/plain", "ok")},
            errors=(400, 401, 413, 503),
            headers=(Parameter("X-Hub-Signature-256", {"type": "string"}),),
        ),
        Operation("get", "/healthz", "The web process answers", answers={200: {"status": "ok"}}),
        Operation(
            "get",
            "/readyz",
            "Broadcasts can be accepted and sent; 503 says what is missing",
            answers={
                status: {
                    "status": word,
                    "checks": {"database": True, "schema": True, "worker": status == 200},
                }
                for status, word in ((200, "ready"), (503, "not ready"))
            },
        ),
        Operation(
            "get",
            "/metrics",
            "Figures for Prometheus",
            ("channels:read",),
            {200: Text("text/plain", "broadcaster_pace 80\n")},
            ALWAYS,
        ),
        Operation("get", "/openapi.json", "This document", answers={200: {"openapi": "3.1.0"}}),
        Operation(
            "get", "/docs", "This document as a page", answers={200: Text("text/html", "<!doctype html>")}
        ),
    ),
    {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "recipients[3].to: not an international number",
        "errors": [{"field": "recipients[3].to", "message": "not an international number"}],
        "errorCount": 1,
    },
    PROBLEM_TYPE,
)
