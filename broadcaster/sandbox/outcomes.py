"""Outcomes by magic number; the table for people is in the package's docstring."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happens to a send: `code` refuses it, `answer` spoils the answer to an accepted one."""

    code: int | None = None
    text: str = ""
    status: int = 400
    once: bool = False
    answer: str = "plain"
    """plain, close, hang, garbage or page"""
    receipts: tuple[str, ...] = ("sent", "delivered", "read")
    """What becomes of an accepted one, told by callback; `failed:<code>` fails it."""
    doubled: bool = False
    early: bool = False
    """The receipts are sent before the answer."""


ACCEPT = Outcome()

BY_LAST_DIGITS = {
    "9001": Outcome(131026, "the number cannot be reached on WhatsApp"),
    "9002": Outcome(131049, "Meta chose not to deliver this marketing message"),
    "9003": Outcome(131056, "too many messages to this person", once=True),
    "9004": Outcome(130429, "too many messages from this number", once=True),
    "9005": Outcome(131000, "an unknown fault on Meta's side", status=500, once=True),
    "9006": Outcome(answer="close"),
    "9007": Outcome(answer="hang"),
    "9008": Outcome(answer="garbage"),
    "9009": Outcome(190, "the access token has expired", status=401),
    "9010": Outcome(131016, "the service is overloaded", status=503),
    "9011": Outcome(132015, "the template is paused"),
    "9012": Outcome(100, "a parameter is invalid"),
    "9013": Outcome(answer="page"),
    "9201": Outcome(receipts=("sent",)),
    "9202": Outcome(receipts=("sent", "delivered")),
    "9203": Outcome(receipts=("sent", "failed:131026")),
    "9204": Outcome(receipts=("failed:131049",)),
    "9205": Outcome(doubled=True),
    "9206": Outcome(early=True),
    "9207": Outcome(receipts=()),
    "9208": Outcome(answer="close", receipts=()),
}


def choose(recipient: str) -> Outcome:
    return BY_LAST_DIGITS.get(recipient[-4:], ACCEPT)
