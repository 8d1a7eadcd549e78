"""Verdicts: what an answer of Meta, or its error code, means for a message and those behind it.

Only `error.code` decides, never the HTTP status or the wording (Meta, error codes, Sept 2026).
An answer in which neither a message id nor a code can be read decides nothing: the message
may have left, so its outcome is unknown.
"""

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from broadcaster.domain import names, strict_json
from broadcaster.domain.words import PauseReason


class Reaction(Enum):
    """How we react to an answer: for its message, and for the messages behind it."""

    SENT = "sent"
    RETRY = "retry"
    PAIR = "pair"
    SLOW = "slow"
    PAUSE = "pause"
    FAIL = "fail"
    LOST = "lost"
    UNREACHED = "unreached"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` and `text` are Meta's where there are any; `reason` says why a broadcast pauses."""

    reaction: Reaction
    code: str | None = None
    text: str | None = None
    wamid: str | None = None
    reason: PauseReason | None = None
    wa_id: str | None = None
    """Whom Meta sent it to, as + and digits."""
    user_id: str | None = None
    parent_id: str | None = None
    """Meta's other names for the same person, as they came."""


LOST = Verdict(Reaction.LOST, "NO_ANSWER", "the connection ended before an answer came")
UNREADABLE = Verdict(Reaction.LOST, "UNREADABLE_ANSWER", "an answer came that says neither yes nor no")
RETURNED = Verdict(Reaction.RETURNED)
"""It was claimed and never tried; nothing left."""
UNREACHED = Verdict(Reaction.UNREACHED, "UNREACHABLE", "Graph could not be reached; nothing was sent")

_PAUSES: dict[PauseReason, tuple[int, ...]] = {
    "token": (0, 3, 10, 104, 190, *range(200, 300), 131005),
    "channel": (
        33, 368, 131031, 131037, 131042, 131045, 131048, 131064, 133000, 133010, 133016, 134011,
    ),
    "template": (
        131055, 131061, 131063, 132001, 132007, 132015, 132016, 132068, 132069, 134100, 134101,
        134102, 134103,
    ),
}  # fmt: skip
_RETRIES = (1, 2, 131000, 131014, 131016, 131053, 133004)
_SLOWS = (4, 17, 32, 341, 613, 80007, 130429, 131057, 2494100)
_PAIRS = (131056,)

REASONS: dict[int, PauseReason] = {code: reason for reason, codes in _PAUSES.items() for code in codes}
"""Codes that mean the next message would fail in the same way, by what has to be mended first."""
REACTIONS = (
    {code: Reaction.PAUSE for code in REASONS}
    | {code: Reaction.RETRY for code in _RETRIES}
    | {code: Reaction.SLOW for code in _SLOWS}
    | {code: Reaction.PAIR for code in _PAIRS}
)
OPT_OUTS = frozenset(("131050",))
"""Codes that say the person wants no marketing from us."""
KNOWN_FAILURES = frozenset((
    100, 130403, 130472, 130497, 131008, 131009, 131021, 131026, 131030, 131036, 131047, 131049,
    131050, 131051, 131052, 131062, 132000, 132005, 132008, 132012, 132018, 135000, 137000,
))  # fmt: skip
"""Codes that fail this recipient and say nothing about the next."""


def judge(http_status: int, body: bytes) -> Verdict:
    """The verdict over one answer of the messages endpoint."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(answer, dict):
        return UNREADABLE
    error = answer.get("error")
    if isinstance(error, dict):
        return _refused(http_status, error)
    wamid = _wamid(answer)
    if wamid and http_status < 300:
        told = _names(answer)
        return Verdict(
            Reaction.SENT, wamid=wamid, wa_id=told.number, user_id=told.user_id, parent_id=told.parent_id
        )
    return UNREADABLE


def _refused(http_status: int, error: dict[str, Any]) -> Verdict:
    code = error.get("code")
    if not isinstance(code, int) or isinstance(code, bool):
        return UNREADABLE
    text = _text(error)
    # Subcode 33 of the parameter error: the sending number itself is gone or not ours.
    if code == 100 and error.get("error_subcode") == 33:
        return Verdict(Reaction.PAUSE, str(code), text, reason="channel")
    reaction = REACTIONS.get(code)
    if reaction is None:
        passing = error.get("is_transient") is True or http_status >= 500 or http_status in (408, 429)
        # A known refusal may come with any HTTP status; only a code that is in no table asks it.
        reaction = Reaction.RETRY if passing and code not in KNOWN_FAILURES else Reaction.FAIL
    return Verdict(reaction, str(code), text, reason=REASONS.get(code))


def _text(error: dict[str, Any]) -> str:
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else None
    text = details or error.get("message") or error.get("title") or ""
    return strict_json.storable(str(text))[:500]


def _names(answer: dict[str, Any]) -> names.Names:
    contacts = answer.get("contacts")
    if isinstance(contacts, list) and contacts and isinstance(contacts[0], dict):
        first = contacts[0]
        return names.read(first.get("wa_id"), first.get("user_id"), first.get("parent_user_id"))
    return names.NOBODY


def _wamid(answer: dict[str, Any]) -> str | None:
    messages = answer.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[0], dict):
        wamid = messages[0].get("id")
        if isinstance(wamid, str) and wamid:
            return strict_json.storable(wamid)
    return None
