"""The allowance: whom each portfolio reached in the last 24 h, by person."""

from collections.abc import Sequence

from peewee import fn

from broadcaster.store import database
from broadcaster.store.models import Reached

DAY = 86_400_000


def reached(rows: Sequence[tuple[str, str, int]]) -> None:
    """Note that portfolios reached people; rows are (portfolio, recipient, at).

    Whose name it is is read now: two contacts may have been merged since the claim.
    """
    database.change_rows(
        "INSERT INTO reached (contact_id, portfolio, at)"
        " SELECT contact_name.contact_id, v.portfolio, MAX(v.at) FROM v"
        " JOIN contact_name ON contact_name.name = v.recipient WHERE 1 = 1"
        " GROUP BY contact_name.contact_id, v.portfolio"
        " ON CONFLICT (contact_id, portfolio) DO UPDATE SET at = excluded.at WHERE excluded.at > reached.at",
        ("portfolio", "recipient", "at"),
        rows,
    )


def not_reached(rows: Sequence[tuple[str, str, int]]) -> None:
    """Give back what a claim reserved for messages that were certainly refused.

    Rows are (portfolio, recipient, claimed_at); whoever was reached at another time stays so.
    """
    database.change_rows(
        "DELETE FROM reached WHERE (contact_id, portfolio, at) IN"
        " (SELECT contact_name.contact_id, v.portfolio, v.at FROM v"
        " JOIN contact_name ON contact_name.name = v.recipient)",
        ("portfolio", "recipient", "at"),
        rows,
    )


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
