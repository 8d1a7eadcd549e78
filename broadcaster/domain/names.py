"""What Meta calls one person: a number, a business-scoped user id, a parent id."""

from typing import Any, NamedTuple

from broadcaster.domain import phone


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
        return self.count(None) < 2


NOBODY = Names()


def read(number: Any, user_id: Any = None, parent_id: Any = None) -> Names:
    """The names among three values of any shape.

    What has not the form of a name is left out, for a filler such as "0" or "unknown" would make one
    person of many.
    """
    digits = _number(number)
    own = None if user_id is None else _user_id(user_id)
    if digits is None and own is None:
        # Somebody without a number may be named by the id where the number used to be.
        own = _user_id(number)
    return Names(digits, own, None if parent_id is None else _user_id(parent_id))


def _number(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    digits = value.removeprefix("+")
    is_number = digits.isdecimal() and digits.isascii() and 5 <= len(digits) <= 20 and digits[0] != "0"
    return "+" + digits if is_number else None


def _user_id(value: Any) -> str | None:
    return value if isinstance(value, str) and phone.is_user_id(value) else None
