"""The vendors' languages, spoken to the letter over the one core.

A dialect is authentication scopes, routes, wire shapes, words and error bodies; it owns no rule
and no table. Its names stand in its file and nowhere else.
"""

from typing import Any

from broadcaster.web import keebai, mindo, monochat

ALL: tuple[Any, ...] = (mindo, keebai, monochat)
STYLES: dict[str, str] = {
    dialect.NAME: dialect.TOKEN_PREFIX for dialect in ALL if dialect.TOKEN_PREFIX is not None
}
"""What the tokens of a dialect look like, where its clients may check."""
