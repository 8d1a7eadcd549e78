"""What an error code of Meta means for us. Pure: an answer in, a verdict out.

Only `error.code` decides, never the HTTP status or the wording (Meta, error codes, Sept 2026).
An answer in which neither a message id nor a code can be read decides nothing: the message
may have left, so its outcome is unknown.
"""

import json
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Any

from broadcaster.domain import strict_json


class Move(Enum):
    """What becomes of the message, and of what is behind it."""

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

    move: Move
    code: str | None = None
    text: str | None = None
    wamid: str | None = None
    reason: str | None = None
    wa_id: str | None = None
    """Whom Meta sent it to, as + and digits."""


LOST = Verdict(Move.LOST, "NO_ANSWER", "the connection ended before an answer came")
UNREADABLE = Verdict(Move.LOST, "UNREADABLE_ANSWER", "an answer came that says neither yes nor no")
RETURNED = Verdict(Move.RETURNED)
"""It was claimed and never tried; nothing left."""
UNREACHED = Verdict(Move.UNREACHED, "UNREACHABLE", "Graph could not be reached; nothing was sent")

_PAUSES = {
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

REASONS = {code: reason for reason, codes in _PAUSES.items() for code in codes}
"""Codes that mean the next message would fail in the same way, by what has to be mended first."""
MOVES = (
    {code: Move.PAUSE for code in REASONS}
    | {code: Move.RETRY for code in _RETRIES}
    | {code: Move.SLOW for code in _SLOWS}
    | {code: Move.PAIR for code in _PAIRS}
)


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
        return Verdict(Move.SENT, wamid=wamid, wa_id=_wa_id(answer))
    return UNREADABLE


def _refused(http_status: int, error: dict[str, Any]) -> Verdict:
    code = error.get("code")
    if not isinstance(code, int) or isinstance(code, bool):
        return UNREADABLE
    text = _text(error)
    # Subcode 33 of the parameter error: the sending number itself is gone or not ours.
    if code == 100 and error.get("error_subcode") == 33:
        return Verdict(Move.PAUSE, str(code), text, reason="channel")
    move = MOVES.get(code)
    if move is None:
        passing = error.get("is_transient") is True or http_status >= 500 or http_status in (408, 429)
        # A known refusal may come with any HTTP status; only a code that is in no table asks it.
        move = Move.RETRY if passing and code not in KNOWN_FAILURES else Move.FAIL
    return Verdict(move, str(code), text, reason=REASONS.get(code))


OPT_OUTS = frozenset(("131050",))
"""Codes that say the person wants no marketing from us."""
KNOWN_FAILURES = frozenset((
    100, 130403, 130472, 130497, 131008, 131009, 131021, 131026, 131030, 131036, 131047, 131049,
    131050, 131051, 131052, 131062, 132000, 132005, 132008, 132012, 132018, 135000, 137000,
))  # fmt: skip
"""Codes that fail this recipient and say nothing about the next."""


def _text(error: dict[str, Any]) -> str:
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else None
    text = details or error.get("message") or error.get("title") or ""
    return strict_json.storable(str(text))[:500]


def _wa_id(answer: dict[str, Any]) -> str | None:
    contacts = answer.get("contacts")
    if isinstance(contacts, list) and contacts and isinstance(contacts[0], dict):
        wa_id = contacts[0].get("wa_id")
        if isinstance(wa_id, str) and wa_id.isascii() and wa_id.isdecimal() and len(wa_id) <= 20:
            return f"+{wa_id}"
    return None


def _wamid(answer: dict[str, Any]) -> str | None:
    messages = answer.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[0], dict):
        wamid = messages[0].get("id")
        if isinstance(wamid, str) and wamid:
            return strict_json.storable(wamid)
    return None


SHAPES = frozenset(("100", "131008", "131009", "132000", "132012", "132018", "135000"))
"""Codes that say how a message is made, and of which many in a row say that all are made so."""
FIRST, SAME_OF_LAST, LAST = 20, 50, 100


class Breaker:
    """Notices when the answers of one broadcast fail for the way its messages are made."""

    def __init__(self) -> None:
        self._seen = 0
        self._last: deque[str | None] = deque(maxlen=LAST)

    def trips(self, code: str | None) -> bool:
        """Whether this answer (None for one that did not fail) is one too many of its kind."""
        shape = code if code in SHAPES else None
        self._seen += 1
        self._last.append(shape)
        if shape is None:
            return False
        same = self._last.count(shape)
        return same >= SAME_OF_LAST or self._seen == same == FIRST


@dataclass(frozen=True, slots=True)
class Explained:
    """A code in words: what it means (Meta, error codes) and what to do about it."""

    meaning: str
    advice: str


_TRY_LATER = "Nothing is wrong with the recipient: retry it later."
_LEAVE_OUT = "Leave this person out of later broadcasts."
_MEND = {
    "token": "Make a new access token in Meta's Business Manager, `channel add` with it, then resume.",
    "channel": "See the number and the account in Meta's Business Manager, mend what it names, then resume.",
    "template": "See the template in Meta's WhatsApp Manager; once it is approved again, resume.",
}
_MEANINGS = {
    "100": (
        "a parameter is not what Meta expects",
        "Look at the text; the template and its variables may differ.",
    ),
    "130403": ("your business has blocked this person", "Unblock the person first."),
    "130472": ("the person is part of an experiment of Meta's and gets no marketing", _LEAVE_OUT),
    "130497": ("the account may not write to this country", "Leave this country out."),
    "131008": ("a parameter is missing", "Compare the variables with the template."),
    "131009": ("a parameter has a value Meta does not take", "Look at the text and at the number."),
    "131021": ("the recipient is the sending number itself", _LEAVE_OUT),
    "131026": ("the person cannot be reached on WhatsApp", _LEAVE_OUT),
    "131030": (
        "a test number may write only to people on its list",
        "Use a number that is not a test number.",
    ),
    "131036": (
        "one of the person's devices could not be reached",
        "It may still be delivered to another one.",
    ),
    "131047": ("more than a day has passed since the person last wrote", "Use an approved template."),
    "131049": (
        "Meta chose not to deliver this marketing message",
        "Retry it after 24 hours at the earliest: `retry --code 131049`. Earlier ones make it worse.",
    ),
    "131050": ("the person wants no marketing from you", _LEAVE_OUT),
    "131053": ("the header's file could not be fetched", "See that the address is public, then retry."),
    "131062": ("this kind of message needs a phone number", "Address the person by number."),
    "132000": ("the number of variables differs from the template's", "Sync the channel, then retry."),
    "132005": ("the text is too long with its values", "Shorten the values."),
    "132012": ("a variable has another form than the template's", "Sync the channel, then retry."),
    "132018": ("a variable breaks the template's rules", "Look at the text."),
    "135000": ("Meta could not make sense of the parameters", "Look at the text."),
    "137000": ("the person's identity has changed", "Retry once you know who it is."),
    "OUTCOME_UNKNOWN": (
        "no answer and no receipt came",
        "It may have been delivered. `retry --code OUTCOME_UNKNOWN` sends it again all the same.",
    ),
    "SUPPRESSED": (
        "the person wants no marketing messages",
        "Leave the person out, or lift the suppression.",
    ),
    "INVALID_RECIPIENT": (
        "the entry did not fit its template or was no number",
        "Mend the entry, send it anew.",
    ),
    "UNDELIVERED": ("a receipt said failed without a reason", "Retry it, or leave the person out."),
}


def explain(code: str) -> Explained:
    """What a code means and what can be done about it; true words for codes nobody knows, too."""
    known = _MEANINGS.get(code)
    if known:
        return Explained(*known)
    number = int(code) if code.isdecimal() else -1
    reason = REASONS.get(number)
    if reason:
        return Explained(f"Meta refused for a reason that lies in the {reason}", _MEND[reason])
    if number in MOVES:
        return Explained("Meta could not take the message at the time", _TRY_LATER)
    return Explained("a code that is not in our table", "Look the code up in Meta's error codes.")
