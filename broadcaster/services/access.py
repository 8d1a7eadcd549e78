"""Access: API tokens, their scopes, and the dashboard's password."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from typing_extensions import TypeAliasType

from broadcaster import vault
from broadcaster.errors import Faults, Forbidden, Invalid, Unauthorized
from broadcaster.store import database, installation, tokens
from broadcaster.store.models import Token

Scope = TypeAliasType(
    "Scope",
    Literal[
        "broadcasts:write",
        "broadcasts:read",
        "messages:send",
        "messages:bulk",
        "templates:read",
        "channels:read",
        "webhooks:manage",
        "admin",
    ],
)
SCOPES: tuple[Scope, ...] = get_args(Scope.__value__)
PREFIX = "bc"
LEAST_PASSWORD = 12
DAY = 86_400_000
_NOTE_EVERY_MS = 60_000
_noted: dict[str, int] = {}
"""When each token's use was last noted, or tried to be, by this process."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds the token of a request."""

    token_id: str
    name: str
    scopes: frozenset[Scope]

    def require(self, *scopes: Scope) -> None:
        """Raises Forbidden if the token has none of the scopes, nor `admin`."""
        if not self.scopes & {*scopes, "admin"}:
            raise Forbidden(f"the token lacks the scope {' or '.join(scopes)}")


def authenticate(presented: str | None, now: int) -> Caller:
    """The holder of a token; raises Unauthorized for none, an unknown, a revoked or an expired one."""
    if not presented:
        raise Unauthorized("send a token as Authorization: Bearer ... or X-API-Key: ...")
    return _valid(_known(presented), now)


def holder(token_id: str, now: int) -> Caller:
    """The holder of a token that was presented before; raises Unauthorized once it is no longer good."""
    return _valid(tokens.find(token_id), now)


def _valid(row: Token | None, now: int) -> Caller:
    if row is None:
        raise Unauthorized("the token is not valid")
    if row.revoked_at is not None:
        raise Unauthorized("the token was revoked")
    if row.expires_at is not None and row.expires_at <= now:
        raise Unauthorized("the token has expired")
    return Caller(row.id, row.name, frozenset(scope for scope in SCOPES if scope in row.scopes.split()))


def note_use(token_id: str, now: int) -> None:
    """Keep when a token was last used, about once a minute, if the database can be written to."""
    if now - _noted.get(token_id, 0) <= _NOTE_EVERY_MS:
        return
    # Reading must go on while the database cannot be written, and not wait for it at every call.
    _noted[token_id] = now
    try:
        tokens.note_use(token_id, now)
    except Exception as error:
        if not database.is_trouble(error):
            raise


def create_token(name: str, scopes: Sequence[str], days: int | None, now: int, prefix: str = PREFIX) -> str:
    """A new token, told this once; raises Invalid for an unknown scope."""
    faults = Faults()
    if not name.strip():
        faults.add("name", "must not be empty")
    for scope in scopes:
        if scope not in SCOPES:
            faults.add("scope", f'there is no scope "{scope}"; there are {", ".join(SCOPES)}')
    if faults:
        raise Invalid(faults)
    token, token_id = vault.new_token(prefix)
    expires_at = None if days is None else now + days * DAY
    tokens.add(token_id, name, vault.hashed(token), scopes, now, expires_at)
    return token


def set_password(password: str) -> None:
    """Let the dashboard be entered with this password, and no more with the one before; raises Invalid."""
    if len(password) < LEAST_PASSWORD:
        faults = Faults()
        faults.add("password", f"must have at least {LEAST_PASSWORD} characters")
        raise Invalid(faults)
    installation.keep_password(vault.stretched(password))


def is_password(presented: str) -> bool:
    """Whether this is the dashboard's password; False if none was set."""
    stored = installation.password()
    return bool(stored) and vault.fits(presented, stored or "")


def password_mark() -> str:
    """Something that changes with the dashboard's password and tells nothing of it."""
    return vault.hashed(installation.password() or "")


def _known(presented: str) -> Token | None:
    token_id = vault.token_id(presented) if presented.isascii() else None
    row = tokens.find(token_id) if token_id else None
    # An unknown id is compared all the same, so that its answer takes as long as a wrong secret's.
    expected = row.hash if row else vault.hashed("")
    return row if vault.same(vault.hashed(presented), expected) else None
