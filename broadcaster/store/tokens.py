"""API tokens: their hashes, scopes and expiry."""

from collections.abc import Sequence

from broadcaster.store import database
from broadcaster.store.models import Token


def add(
    token_id: str, name: str, hash: str, scopes: Sequence[str], now: int, expires_at: int | None
) -> Token:
    with database.transaction():
        return Token.create(
            id=token_id, name=name, hash=hash, scopes=" ".join(scopes), created_at=now, expires_at=expires_at
        )


def find(token_id: str) -> Token | None:
    return Token.get_or_none(Token.id == token_id)


def all_tokens() -> list[Token]:
    return list(Token.select().order_by(Token.created_at, Token.id))


def revoke(token_id: str, now: int) -> bool:
    """End a token for good; False if there is none or it was revoked before."""
    with database.transaction():
        query = Token.update(revoked_at=now).where((Token.id == token_id) & Token.revoked_at.is_null())
        return database.change(query) == 1


def note_use(token_id: str, now: int) -> None:
    with database.transaction():
        Token.update(used_at=now).where(Token.id == token_id).execute()
