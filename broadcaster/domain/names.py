"""What Meta calls one person: a number, a business-scoped user id, a parent id."""

import re
from typing import Any, NamedTuple

from broadcaster.domain import phone

_NUMBER = re.compile(r"\+?([1-9][0-9]{4,19})", re.ASCII)


class Names(NamedTuple):
    """The names of one person that stood in one JSON object; numbers as + and digits, ids as they came."""

    number: str | None = None
    user_id: str | None = None
    parent_id: str | None = None

    @property
    def known(self) -> tuple[str, ...]:
        """The names that are there, the preferred one first."""
        return tuple(name for name in self if name)

    @property
    def preferred(self) -> str | None:
        """What to call the person: the number, else the user id, else the parent id; None without any."""
        return self.number or self.user_id or self.parent_id

    @property
    def is_pair(self) -> bool:
        """Whether two names or more stand together, so that each tells something of the other."""
        return len(self.known) > 1


NOBODY = Names()


def read(number: Any, user_id: Any = None, parent_id: Any = None) -> Names:
    """The names among three values of any shape.

    What has not the form of a name is left out, for a filler such as "0" or "unknown" would make one
    person of many.
    """
    theirs = _number(number)
    ours = _user_id(user_id)
    if theirs is None and ours is None:
        # Somebody without a number may be named by the id where the number used to be.
        ours = _user_id(number)
    return Names(theirs, ours, _user_id(parent_id))


def _number(value: Any) -> str | None:
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    return f"+{found[1]}" if found else None


def _user_id(value: Any) -> str | None:
    return value if isinstance(value, str) and phone.is_user_id(value) else None
