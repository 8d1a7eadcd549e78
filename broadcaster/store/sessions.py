"""Sessions: those of the dashboard that have ended before their cookie does."""

from broadcaster.store import database
from broadcaster.store.models import EndedSession


def end(mark: str, until: int) -> None:
    """A session has ended, whose cookie would hold until a time (epoch milliseconds)."""
    with database.transaction():
        EndedSession.insert(mark=mark, until=until).on_conflict_ignore().execute()


def has_ended(mark: str) -> bool:
    """Whether somebody signed out of a session."""
    return EndedSession.select().where(EndedSession.mark == mark).exists()


def forget(before: int) -> None:
    """Forget those whose cookie held no longer than a time."""
    with database.transaction():
        EndedSession.delete().where(EndedSession.until < before).execute()
