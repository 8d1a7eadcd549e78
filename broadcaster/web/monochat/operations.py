"""MonoChat's operations."""

import secrets
from functools import partial
from string import ascii_lowercase, digits

from broadcaster.errors import NotFound
from broadcaster.services import progress, steering
from broadcaster.web import acceptance
from broadcaster.web.bodies import Body
from broadcaster.web.monochat import NAME, answers, bodies
from broadcaster.web.monochat.refusals import refuse
from broadcaster.web.operations import Api, Call, Reply

_ROOT = "/api/{slug}/custom-functions/bulk-message-api-app/api/bulk-message"

monochat = Api("MonoChat", refuse, _ROOT.replace("{slug}", "[^/]*") + "/.*", name=NAME)


@monochat.post(f"{_ROOT}/send.js", "broadcasts:write", once=True, example=bodies.SEND)
def send(call: Call, slug: str, body: Body[bodies.MonoChatSend]) -> Reply[answers.MonoChatAccepted]:
    """Accept a broadcast"""
    spec = partial(bodies.send_spec, slug)
    return acceptance.accept(call, body, spec, answers.accepted, _new_id()).reply


@monochat.post(f"{_ROOT}/stats.js", "broadcasts:read", example=bodies.REFERENCE)
def get_stats(call: Call, slug: str, body: bodies.MonoChatReference) -> answers.MonoChatStats:
    """Where a broadcast stands"""
    _check_slug(body.bulkMessageId, slug)
    return answers.stats(progress.of(body.bulkMessageId, call.now, NAME))


@monochat.post(f"{_ROOT}/stop.js", "broadcasts:write", example=bodies.REFERENCE)
def stop(call: Call, slug: str, body: bodies.MonoChatReference) -> answers.MonoChatDone:
    """Cancel what has not left"""
    _check_slug(body.bulkMessageId, slug)
    steering.stop(body.bulkMessageId, call.now)
    return {}


def _check_slug(public_id: str, slug: str) -> None:
    """Raises NotFound unless it is a broadcast of this workspace."""
    if answers.remembered(progress.facts(public_id, NAME))["slug"] != slug:
        raise NotFound(f'there is no bulk message "{public_id[:60]}"')


def _new_id() -> str:
    return "".join(secrets.choice(ascii_lowercase + digits) for _ in range(20))
