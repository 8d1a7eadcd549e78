"""The allowance: whom each portfolio reached in the last 24 h, by person."""

from collections.abc import Iterable, Sequence

from peewee import fn

from broadcaster.store import database
from broadcaster.store.models import Reached

DAY = 86_400_000


_IN_FLIGHT = (
    # CROSS JOIN keeps SQLite to this order: from the few open broadcasts to the few messages in flight.
    "SELECT contact_name.contact_id, channel.portfolio FROM broadcast"
    " CROSS JOIN message CROSS JOIN contact_name CROSS JOIN channel"
    " WHERE broadcast.finished_at IS NULL AND message.broadcast_id = broadcast.id"
    " AND message.state IN ('sending', 'unknown')"
    " AND contact_name.name = message.recipient AND channel.id = broadcast.channel_id"
)
"""Whom a message may reach at this moment."""


def lock(portfolio: str) -> None:
    """Nobody else counts whom the portfolio reached, to reserve more, until the transaction ends."""
    database.lock_name("portfolio", portfolio)


def reserve(rows: Sequence[tuple[str, str, int, int]]) -> None:
    """Messages are about to reach people who cost allowance; rows are (portfolio, recipient, at, message)."""
    database.change_rows(
        "INSERT INTO reached (contact_id, portfolio, at, reserved_by)"
        " SELECT contact_name.contact_id, v.portfolio, MAX(v.at), MAX(v.message) FROM v"
        " JOIN contact_name ON contact_name.name = v.recipient WHERE 1 = 1"
        " GROUP BY contact_name.contact_id, v.portfolio ORDER BY 1, 2"
        " ON CONFLICT (contact_id, portfolio) DO UPDATE SET at = excluded.at,"
        " reserved_by = excluded.reserved_by WHERE excluded.at > reached.at",
        ("portfolio", "recipient", "at", "message"),
        rows,
    )


def reached(rows: Sequence[tuple[str, str, int]]) -> None:
    """Note that portfolios reached people, or may have; rows are (portfolio, recipient, at).

    Whose name it is is read now: two contacts may have been merged since the claim.
    """
    database.change_rows(
        "INSERT INTO reached (contact_id, portfolio, at)"
        " SELECT contact_name.contact_id, v.portfolio, MAX(v.at) FROM v"
        " JOIN contact_name ON contact_name.name = v.recipient WHERE 1 = 1"
        " GROUP BY contact_name.contact_id, v.portfolio ORDER BY 1, 2"
        " ON CONFLICT (contact_id, portfolio) DO UPDATE SET reserved_by = NULL,"
        " at = CASE WHEN excluded.at > reached.at THEN excluded.at ELSE reached.at END",
        ("portfolio", "recipient", "at"),
        rows,
    )


def give_back(message_ids: Iterable[int]) -> None:
    """What these messages reserved, for they were certainly refused.

    Not for whom another message of the portfolio may reach at this moment: it reserved nothing of its own.
    """
    database.change_rows(
        "DELETE FROM reached WHERE reserved_by IN (SELECT v.message FROM v)"
        f" AND (contact_id, portfolio) NOT IN ({_IN_FLIGHT})",
        ("message",),
        [(one,) for one in message_ids],
    )


def recent(portfolio: str, since: int) -> dict[int, int]:
    """The contacts that the portfolio reached after a time, or is about to, and when."""
    query = Reached.select(Reached.contact_id, Reached.at).where(
        (Reached.portfolio == portfolio) & (Reached.at > since)
    )
    return dict(database.tuples(query))


def opens_at(portfolio: str, now: int) -> int | None:
    """When the person reached first within 24 h stops counting (epoch ms); None if nobody was reached."""
    query = Reached.select(fn.MIN(Reached.at)).where(
        (Reached.portfolio == portfolio) & (Reached.at > now - DAY)
    )
    oldest = database.number(query)
    return None if oldest is None else oldest + DAY


def people_reached(portfolio: str, since: int) -> int:
    """How many different people the portfolio reached after a time."""
    return Reached.select().where((Reached.portfolio == portfolio) & (Reached.at > since)).count()
