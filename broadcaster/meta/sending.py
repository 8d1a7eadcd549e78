"""A message sent: its request, and the verdict over what became of it.

Nothing was sent if no byte of a request left; from its first byte on, a missing answer decides nothing
(`verdicts.LOST`).
"""

from collections.abc import Callable
from typing import NamedTuple

from broadcaster import log
from broadcaster.clock import epoch_ms
from broadcaster.domain import phone, retry_after, verdicts
from broadcaster.domain.decide import Claimed
from broadcaster.domain.verdicts import Verdict
from broadcaster.meta.send_client import Answer, Lost, SendClient, Unreached

ANSWER_SECONDS = 30
"""How long an answer is waited for, from the request's first byte."""

logger = log.get(__name__)


class Sending(NamedTuple):
    """What became of a request: the verdict over its answer, whether a byte of it left, and how many seconds
    the answer asks to wait before the next, if it does."""

    verdict: Verdict
    has_left: bool
    wait: float | None = None


async def send(client: SendClient, head: bytes, body: bytes, on_leaving: Callable[[], None]) -> Sending:
    """Post a message once; `on_leaving` is called before its first byte leaves. Raises nothing."""
    try:
        answer = await client.post(head, body, on_leaving)
    except Unreached:
        return Sending(verdicts.UNREACHED, False)
    except Lost:
        return Sending(verdicts.LOST, True)
    except Exception:
        logger.exception("a send failed in an unforeseen way")
        return Sending(verdicts.LOST, True)
    return Sending(verdicts.judge(answer.status, answer.body), True, _wait(answer))


def _wait(answer: Answer) -> float | None:
    asked = answer.retry_after
    return retry_after.seconds(asked, answer.date, epoch_ms() / 1000) if asked else None


def compose(claimed: Claimed, installation_key: str) -> bytes:
    """The request body of a message. Only `content` comes from outside, and it is JSON of our own making;
    recipients have passed phone.recipient."""
    field_name = "recipient" if phone.is_user_id(claimed.recipient) else "to"
    return (
        '{"messaging_product":"whatsapp","recipient_type":"individual",'
        f'"{field_name}":"{claimed.recipient}","type":"template","template":{claimed.content},'
        f'"biz_opaque_callback_data":"{installation_key}.{claimed.id}.{claimed.attempt}"}}'
    ).encode()
