"""How every API accepts a broadcast: read its body, plan it, store it, once if the caller says so."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic

from broadcaster.domain import strict_json
from broadcaster.errors import Faults
from broadcaster.services import planning, submit
from broadcaster.services.planning import Plan
from broadcaster.services.progress import Progress
from broadcaster.services.specs import Spec
from broadcaster.web import requests
from broadcaster.web.bodies import AnyEnvelope, Body
from broadcaster.web.operations import Answer, Call, Reply


@dataclass(frozen=True, slots=True)
class Acceptance(Generic[Answer]):
    """A broadcast that is stored: its id, and the answer as it was first given."""

    id: str
    reply: Reply[Answer]
    is_replay: bool


def plan(call: Call, body: Body[AnyEnvelope], spec: Callable[[AnyEnvelope, Faults], Spec]) -> Plan:
    """What the broadcast that a body asks for would be; raises Invalid, Malformed, WrongType, TooLarge."""
    faults = Faults()
    settings = call.context.settings
    asked = replace(spec(body.read(faults), faults), country=settings.default_country)
    return planning.plan(asked, faults, settings.stop_words, call.now)


def accept(
    call: Call,
    body: Body[AnyEnvelope],
    spec: Callable[[AnyEnvelope, Faults], Spec],
    render: Callable[[Progress], Answer],
    public_id: str | None = None,
) -> Acceptance[Answer]:
    """Store the broadcast that a body asks for, once if the caller says so; `render` makes the answer.

    Raises Invalid, Malformed, KeyReused, WrongType, TooLarge.
    """
    assert call.operation.once, "an operation that accepts says once=True"
    raw, token_id = body.raw, call.caller.token_id
    wish = requests.once(call.request, token_id, raw)
    accepted = submit.replay(wish) if wish else None
    if accepted is None:
        accepted = submit.submit(
            plan(call, body, spec),
            call.context.schedule,
            lambda tracked: strict_json.dumps(render(tracked)),
            call.now,
            token_id,
            wish,
            public_id,
        )
    return Acceptance(accepted.id, Reply(stored=accepted.answer), accepted.is_replay)
