"""Mindo's operations."""

import uuid

from broadcaster.errors import NotFound
from broadcaster.services import progress, single_send
from broadcaster.store import broadcasts, channels, message_queries
from broadcaster.store.models import Message
from broadcaster.web import acceptance
from broadcaster.web.bodies import Body
from broadcaster.web.mindo import NAME, answers, bodies, queries
from broadcaster.web.mindo.answers import MindoPage
from broadcaster.web.mindo.refusals import MindoError, refuse
from broadcaster.web.operations import Api, Call, Reply

_ROOT = "/api/v1/meta-templates"
_ACCOUNTS = "/api/v1/business-accounts"

mindo = Api("Mindo", refuse, f"({_ROOT}|{_ACCOUNTS}).*", name=NAME, slashes=True, token_prefix="mindo")


@mindo.post(
    f"{_ROOT}/send-bulk",
    "broadcasts:write",
    status=202,
    once=True,
    errors=(404,),
    example=bodies.SEND_BULK,
)
def send_bulk(call: Call, body: Body[bodies.MindoSendBulk]) -> Reply[answers.MindoQueued]:
    """Accept a broadcast"""
    return acceptance.accept(call, body, bodies.bulk_spec, answers.queued).reply


@mindo.post(
    f"{_ROOT}/send",
    "messages:send",
    "broadcasts:write",
    once=True,
    errors=(404, 504),
    example=bodies.SEND,
)
def send(call: Call, body: Body[bodies.MindoSend]) -> answers.MindoSent | Reply[MindoError]:
    """Send one message and answer once it has left"""

    def start() -> str:
        return acceptance.accept(call, body, bodies.single_spec, lambda tracked: tracked.facts.public_id).id

    row = single_send.outcome(start)
    if row.state == "sent":
        return answers.sent(row)
    if row.state in ("pending", "sending", "unknown"):
        told = "Meta's answer did not come; the message may have been sent, do not send it again"
        return Reply({"error": told, "details": {"id": row.id}}, 504)
    return _refused(row) if row.state == "failed" or _is_refused(row) else _withdrawn(row)


def _is_refused(row: Message) -> bool:
    """Whether a withdrawn message had been answered with what holds its broadcast or channel back."""
    broadcast = broadcasts.get(row.broadcast_id)
    is_held = broadcast.paused_at or channels.get(broadcast.channel_id).paused_at
    return row.error_code is not None and is_held is not None


def _refused(row: Message) -> Reply[MindoError]:
    text = row.error_code or ""
    code = int(text) if text.isdecimal() else text
    told = f"Meta refused the message: {row.error_text}"
    return Reply({"error": told, "details": {"code": code, "message": row.error_text}}, 400)


def _withdrawn(row: Message) -> Reply[MindoError]:
    told = "the message could not be sent within 10 seconds and was withdrawn"
    error: MindoError = {"error": told, "details": {}}
    if row.error_code:
        error["details"] = {"code": row.error_code, "message": row.error_text}
    return Reply(error, 503, {"Retry-After": "10"})


@mindo.get(f"{_ROOT}/bulk-sends", "broadcasts:read", errors=(404,))
def list_bulk_sends(call: Call, query: queries.BulkSendListing) -> MindoPage[answers.MindoBulkSend]:
    """Broadcasts, newest first"""
    wanted = query.search()
    count, rows = broadcasts.search(wanted, query.offset, query.page_size) if wanted else (0, [])
    shown = [answers.bulk_send(tracked) for tracked in progress.of_each(rows, call.now)]
    public_url = call.context.settings.public_url
    return answers.page(call.request, public_url, query.page, query.page_size, count, shown)


@mindo.get(f"{_ROOT}/bulk-sends/{{bulk_send_id}}", "broadcasts:read")
def get_bulk_send(call: Call, bulk_send_id: str) -> answers.MindoProgress:
    """One broadcast"""
    return answers.bulk_send_progress(progress.of(_uuid(bulk_send_id), call.now, NAME))


@mindo.get(f"{_ROOT}/bulk-sends/{{bulk_send_id}}/messages", "broadcasts:read")
def list_bulk_send_messages(
    call: Call, bulk_send_id: str, query: queries.MessageListing
) -> MindoPage[answers.MindoMessageRow]:
    """Its messages"""
    broadcast = progress.facts(_uuid(bulk_send_id), NAME)
    count, rows = message_queries.search(broadcast.id, query.status, query.offset, query.page_size)
    shown = [answers.message_row(row) for row in rows]
    public_url = call.context.settings.public_url
    return answers.page(call.request, public_url, query.page, query.page_size, count, shown)


def _uuid(text: str) -> str:
    """The id as we wrote it; raises NotFound for what cannot be one."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise NotFound(f'there is no bulk send "{text[:60]}"') from None


@mindo.get(f"{_ROOT}/messages/{{wamid:path}}", "broadcasts:read")
def get_message(call: Call, wamid: str) -> answers.MindoMessage:
    """One message by Meta's id"""
    try:
        row, public_id = progress.find_message(wamid)
    except NotFound:
        row, public_id = progress.find_message(wamid.removesuffix("/"))
    return answers.message(row, progress.facts(public_id))


@mindo.get(_ACCOUNTS, "channels:read", "templates:read", every=True)
def list_business_accounts(call: Call) -> answers.MindoAccounts:
    """Numbers, quotas and templates"""
    return answers.accounts(call.caller.name, channels.all_channels(), call.now)
