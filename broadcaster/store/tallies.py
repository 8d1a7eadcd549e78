"""Tallies: totals for those who watch. They only grow, whatever is erased, retried or removed, and outlive
every restart.

A tally is written with the change it counts, in the caller's transaction. Nothing but /metrics reads them:
what the APIs say of messages is counted over the messages (`counters`).
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, get_args

from broadcaster.domain.words import TallyName
from broadcaster.store import database
from broadcaster.store.models import Tally

NAMES: tuple[TallyName, ...] = get_args(TallyName.__value__)


class Counted(NamedTuple):
    """So many more of something: of which channel (its row's id, 0 for of none), and of which kind."""

    name: TallyName
    channel_id: int = 0
    word: str = ""
    many: int = 1


class Total(NamedTuple):
    """How many there ever were; `about` is the channel's phone_number_id, or empty."""

    name: TallyName
    about: str
    word: str
    total: int


def add(counted: Iterable[Counted]) -> None:
    """Add these to their totals, in the caller's transaction."""
    sums: Counter[tuple[TallyName, int, str]] = Counter()
    for name, channel_id, word, many in counted:
        sums[name, channel_id, word] += many
    # In one order, so that transactions beside each other lock rows in the same.
    rows = [(*key, many) for key, many in sorted(sums.items()) if many]
    database.change_rows(
        "INSERT INTO tally (name, about, word, total)"
        " SELECT v.name, COALESCE(channel.phone_number_id, ''), v.word, v.total FROM v"
        " LEFT JOIN channel ON channel.id = v.channel_id WHERE 1 = 1"
        " ON CONFLICT (name, about, word) DO UPDATE SET total = tally.total + excluded.total",
        ("name", "channel_id", "word", "total"),
        rows,
    )


def all_totals() -> list[Total]:
    """Everything that was ever counted."""
    query = Tally.select(Tally.name, Tally.about, Tally.word, Tally.total)
    return [Total(*row) for row in database.tuples(query.order_by(Tally.name, Tally.about, Tally.word))]
