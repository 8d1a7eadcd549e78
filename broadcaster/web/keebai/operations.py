"""Keebai's operations."""

import re
import secrets

from broadcaster.services import progress
from broadcaster.web import acceptance
from broadcaster.web.bodies import Body
from broadcaster.web.keebai import NAME, answers, bodies
from broadcaster.web.keebai.refusals import KeebaiError, error, refuse
from broadcaster.web.operations import Api, Call, Reply

_BULK, _TEMPLATE = "/v1/messages/bulk", "/v1/messages/template"
_ID = re.compile(r"[0-9a-f]{24}", re.ASCII | re.IGNORECASE)

keebai = Api("Keebai", refuse, f"{_BULK}(/[^/]*)?|{_TEMPLATE}", name=NAME, token_prefix="kbai_pk")


@keebai.post(
    _BULK,
    "messages:bulk",
    "broadcasts:write",
    status=202,
    once=True,
    errors=(404,),
    example=bodies.BULK,
)
def send_bulk(call: Call, body: Body[bodies.KeebaiBulk]) -> Reply[answers.KeebaiAccepted]:
    """Accept a broadcast"""
    return acceptance.accept(call, body, bodies.bulk_spec, answers.accepted, _new_id(call.now)).reply


@keebai.get(_BULK + "/{broadcast_id}", "messages:bulk", "broadcasts:read", errors=(400,))
def get_broadcast(call: Call, broadcast_id: str) -> answers.KeebaiProgress | Reply[KeebaiError]:
    """Where a broadcast stands"""
    if not _ID.fullmatch(broadcast_id):
        told = f'a broadcast id has 24 hexadecimal digits, not "{broadcast_id[:60]}"'
        return Reply(error("INVALID_BROADCAST_ID", told, []), 400)
    return answers.broadcast_progress(progress.of(broadcast_id.lower(), call.now, NAME))


@keebai.post(
    _TEMPLATE,
    "messages:send",
    "broadcasts:write",
    status=202,
    once=True,
    errors=(404,),
    example=bodies.TEMPLATE,
)
def send_template(call: Call, body: Body[bodies.KeebaiTemplate]) -> Reply[answers.KeebaiAccepted]:
    """Send one message"""
    return acceptance.accept(call, body, bodies.single_spec, answers.accepted, _new_id(call.now)).reply


def _new_id(now: int) -> str:
    """24 hexadecimal digits that begin with the time in seconds, as the vendor's do."""
    return f"{now // 1000:08x}{secrets.token_hex(8)}"
