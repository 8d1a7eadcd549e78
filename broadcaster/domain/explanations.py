"""Explanations: what the code of a failure means, and what a person can do about it."""

from dataclasses import dataclass

from broadcaster.domain import verdicts
from broadcaster.domain.words import PauseReason


@dataclass(frozen=True, slots=True)
class Explained:
    """A code in words: what it means (Meta, error codes) and what to do about it."""

    meaning: str
    advice: str


_TRY_LATER = "Nothing is wrong with the recipient: retry it later."
_LEAVE_OUT = "Leave this person out of later broadcasts."
_MEND: dict[PauseReason, str] = {
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
    """What a code means and what can be done about it; a code in no table is said to be unknown."""
    known = _MEANINGS.get(code)
    if known:
        return Explained(*known)
    number = int(code) if code.isdecimal() else -1
    reason = verdicts.REASONS.get(number)
    if reason:
        return Explained(f"Meta refused for a reason that lies in the {reason}", _MEND[reason])
    if number in verdicts.REACTIONS:
        return Explained("Meta could not take the message at the time", _TRY_LATER)
    return Explained("a code that is not in our table", "Look the code up in Meta's error codes.")
