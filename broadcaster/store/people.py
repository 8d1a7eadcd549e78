"""People and their names: who is meant by a number, a spelling of it, or a user id.

A name belongs to one contact. Names are learned from callers, from Meta's answers and callbacks; two contacts
that turn out to be one person are merged. Messages keep the text they are sent to.

One at a time adds names and merges; names are read inside the transaction that changes them.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from broadcaster.domain import phone
from broadcaster.domain.names import Names
from broadcaster.store import database, models
from broadcaster.store.models import Contact, ContactName, Conversation, Forwarded, Suppression

Found = TypeVar("Found")


class Person(NamedTuple):
    """A contact behind a name, and whether they take marketing messages."""

    contact_id: int
    is_suppressed: bool


def who(names: Iterable[str]) -> dict[str, Person]:
    """The person behind each of these names that is known.

    Raw SQL: building an IN list of thousands costs peewee three times the statement.
    """
    found: dict[str, Person] = {}
    for part in database.parts(list(names)):
        rows = models.database.obj.execute_sql(
            "SELECT n.name, n.contact_id, s.contact_id IS NOT NULL FROM contact_name n"
            " LEFT JOIN suppression s ON s.contact_id = n.contact_id"
            f" WHERE n.name IN ({database.marks(len(part))})",
            list(part),
        ).fetchall()
        found |= {name: Person(contact_id, bool(is_suppressed)) for name, contact_id, is_suppressed in rows}
    return found


def one(name: str) -> int | None:
    """The contact behind a name, in any of its spellings."""
    found = who(phone.spellings(name))
    return min((person.contact_id for person in found.values()), default=None)


def add_new(names: Iterable[str], now: int) -> None:
    """A contact, with all spellings, for each of these who is not known; a new spelling joins who is."""
    wanted = sorted(_unknown(list(dict.fromkeys(names))))
    if not wanted:
        return
    database.lock_name("people")
    sisters = {name: found for name in wanted if (found := phone.sisters(name))}
    known = who({sister for found in sisters.values() for sister in found})
    strangers: dict[str, str] = {}
    rows: list[tuple[str, int]] = []
    for name in wanted:
        owner = next((known[sister] for sister in sisters.get(name, ()) if sister in known), None)
        if owner is None:
            strangers.setdefault(min((name, *sisters.get(name, ()))), name)
        else:
            rows.append((name, owner.contact_id))
    database.insert_rows(ContactName, ("name", "contact_id"), rows, "ON CONFLICT (name) DO NOTHING")
    _add_strangers(sorted(strangers.values()), sisters, now)


def _unknown(names: Sequence[str]) -> list[str]:
    """Those of these names that nobody has."""
    found: list[str] = []
    for part in database.parts(names):
        values = ", ".join([f"({models.database.obj.param})"] * len(part))
        rows = models.database.obj.execute_sql(
            f"WITH v (name) AS (VALUES {values}) SELECT v.name FROM v"
            " WHERE NOT EXISTS (SELECT 1 FROM contact_name n WHERE n.name = v.name)",
            list(part),
        ).fetchall()
        found += [name for (name,) in rows]
    return found


def _add_strangers(names: Sequence[str], sisters: dict[str, tuple[str, ...]], now: int) -> None:
    rows = [(name, now) for name in names]
    database.insert_rows(Contact, ("recipient", "created_at"), rows, "ON CONFLICT (recipient) DO NOTHING")
    database.change_rows(
        "INSERT INTO contact_name (name, contact_id) SELECT v.name, contact.id FROM v"
        " JOIN contact ON contact.recipient = v.recipient WHERE 1 = 1 ON CONFLICT (name) DO NOTHING",
        ("name", "recipient"),
        [(spelling, name) for name in names for spelling in (name, *sisters.get(name, ()))],
    )


def ensure(name: str, now: int) -> int:
    """The contact behind a name, made if there is none."""
    found = one(name)
    if found is None:
        add_new([name], now)
        found = one(name)
    if found is None:
        raise RuntimeError("a contact that was just made has no name")
    return found


def names_of(contact_ids: Iterable[int]) -> dict[int, list[str]]:
    """All names of each of these contacts, in alphabetical order."""
    ids = list(contact_ids)
    found: dict[int, list[str]] = {contact_id: [] for contact_id in ids}
    for part in database.parts(ids):
        query = ContactName.select(ContactName.contact_id, ContactName.name)
        rows = database.tuples(query.where(ContactName.contact_id.in_(part)).order_by(ContactName.name))
        for contact_id, name in rows:
            found[contact_id].append(name)
    return found


def all_names(name: str) -> list[str]:
    """Every name of the person behind this one; of a stranger, the spellings of the name itself."""
    contact_id = one(name)
    own = phone.spellings(name)
    known = names_of([contact_id])[contact_id] if contact_id is not None else []
    return list(dict.fromkeys([*own, *known]))


# Learning


def learn(told: Iterable[Names], portfolio: str | None, now: int) -> None:
    """Join what Meta calls one person; names nobody knew before are added to the person they belong to.

    `portfolio` is whose user ids these are. Names of which none is known are left alone: nobody was written
    to under them, and nobody opted out.
    """
    pairs = [names for names in dict.fromkeys(told) if names.is_pair]
    if pairs:
        database.lock_name("people")
    for place in _telling([names.known for names in pairs]):
        _learn_one(pairs[place], portfolio, now)


def _telling(groups: Sequence[Sequence[str]]) -> list[int]:
    """The places of those groups of names of one person that tell something: known ones among unknown ones,
    or names of two contacts.

    Whoever learns from them reads again who is who: an earlier group may have changed it.
    """
    spellings = [[spelling for name in names for spelling in phone.spellings(name)] for names in groups]
    known = who({spelling for group in spellings for spelling in group}) if groups else {}
    found = []
    for place, group in enumerate(spellings):
        owners = {known[spelling].contact_id for spelling in group if spelling in known}
        if len(owners) > 1 or (owners and any(spelling not in known for spelling in group)):
            found.append(place)
    return found


def _learn_one(names: Names, portfolio: str | None, now: int) -> None:
    by_number = one(names.number) if names.number else None
    by_user_id = one(names.user_id) if names.user_id else None
    if by_number and names.user_id and by_user_id != by_number and _has_other_id(by_number, names, portfolio):
        # The number has changed hands: it goes to the person Meta names now, with its opt-out.
        _pass_number_on(names, by_number, portfolio, now)
        return
    owner = _made_one(names.known)
    if owner is not None:
        _add_names(owner, names, portfolio)


def _add_names(contact_id: int, names: Names, portfolio: str | None) -> None:
    rows: list[tuple[str, int, str | None]] = [
        (s, contact_id, None) for s in (phone.spellings(names.number) if names.number else ())
    ]
    rows += [(name, contact_id, portfolio) for name in (names.user_id, names.parent_id) if name]
    database.insert_rows(
        ContactName,
        ("name", "contact_id", "portfolio"),
        rows,
        "ON CONFLICT (name) DO UPDATE SET portfolio = COALESCE(contact_name.portfolio, excluded.portfolio)",
    )


def _has_other_id(contact_id: int, names: Names, portfolio: str | None) -> bool:
    """Whether the contact has another user id of the same portfolio, and is thus another person."""
    query = ContactName.select(1).where(
        (ContactName.contact_id == contact_id)
        & (ContactName.portfolio == portfolio)
        & ContactName.name.not_in([name for name in (names.user_id, names.parent_id) if name])
        & ~ContactName.name.startswith("+")
        & ~ContactName.name.contains(".ENT.")
    )
    return portfolio is not None and bool(query.exists())


def _pass_number_on(names: Names, old: int, portfolio: str | None, now: int) -> None:
    assert names.number and names.user_id
    new = one(names.user_id)
    if new is None:
        new = Contact.create(recipient=names.user_id, created_at=now).id
    spellings = phone.spellings(names.number)
    ContactName.update(contact_id=new).where(ContactName.name.in_(spellings)).execute()
    _copy_suppression(old, new)
    _add_names(new, names, portfolio)


def _copy_suppression(old: int, new: int) -> None:
    row = Suppression.get_or_none(Suppression.contact_id == old)
    if row is None:
        return
    facts = {"reason": row.reason, "source": row.source, "created_at": row.created_at}
    recipient = Contact.get_by_id(new).recipient
    Suppression.insert(contact_id=new, recipient=recipient, **facts).on_conflict_ignore().execute()


def join(pairs: Iterable[tuple[str, str]]) -> None:
    """Both names of each pair mean one person: Meta's spelling of a number beside ours, a number or user id
    that Meta says has changed.

    An old number stays a name until Meta shows it with somebody else. Pairs of which neither is known are
    left alone.
    """
    wanted = [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]]
    if wanted:
        database.lock_name("people")
    for place in _telling(wanted):
        owner = _made_one(wanted[place])
        rows = [(spelling, owner) for name in wanted[place] for spelling in phone.spellings(name)]
        database.insert_rows(ContactName, ("name", "contact_id"), rows, "ON CONFLICT (name) DO NOTHING")


# Merging


def _made_one(names: Iterable[str]) -> int | None:
    """The one contact behind these names, those that were several merged; None if nobody is known."""
    owners = sorted({owner for owner in map(one, names) if owner is not None})
    for loser in owners[1:]:
        merge(owners[0], loser)
    return owners[0] if owners else None


def merge(kept: int, loser: int) -> None:
    """Two contacts are one person: all that the second has goes to the first, and no opt-out is lost.

    In the caller's transaction.
    """
    pair = {"kept": kept, "loser": loser}
    ContactName.update(contact_id=kept).where(ContactName.contact_id == loser).execute()
    for statement in _MERGE:
        database.execute_named(statement, pair)
    for old, now in database.execute_named(_CONVERSATION_PAIRS, pair).fetchall():
        _join_conversations(now, old)
    Conversation.update(contact_id=kept).where(Conversation.contact_id == loser).execute()
    database.execute_named(_MERGE_CONTACT, pair)
    Contact.delete().where(Contact.id == loser).execute()
    forward(f"{CONTACT_PREFIX}{loser}", f"{CONTACT_PREFIX}{kept}")


CONTACT_PREFIX, CONVERSATION_PREFIX = "ct_", "cv_"
_MERGE = (
    # Whoever opted out under either name has opted out; the newest word is what later ones are compared with.
    "INSERT INTO suppression (contact_id, recipient, reason, source, created_at)"
    " SELECT :kept, (SELECT recipient FROM contact WHERE id = :kept), reason, source, created_at"
    " FROM suppression WHERE contact_id = :loser"
    " ON CONFLICT (contact_id) DO UPDATE SET reason = excluded.reason, source = excluded.source,"
    " created_at = excluded.created_at WHERE excluded.created_at > suppression.created_at",
    "DELETE FROM suppression WHERE contact_id = :loser",
    # Whom one of both names was truly reached under, was reached.
    "INSERT INTO reached (contact_id, portfolio, at, reserved_by)"
    " SELECT :kept, portfolio, at, reserved_by FROM reached WHERE contact_id = :loser"
    " ON CONFLICT (contact_id, portfolio) DO UPDATE SET"
    " at = CASE WHEN excluded.at > reached.at THEN excluded.at ELSE reached.at END,"
    " reserved_by = CASE WHEN reached.reserved_by IS NULL THEN NULL ELSE excluded.reserved_by END",
    "DELETE FROM reached WHERE contact_id = :loser",
)
_CONVERSATION_PAIRS = (
    "SELECT theirs.id, mine.id FROM conversation theirs JOIN conversation mine"
    " ON mine.channel_id = theirs.channel_id AND mine.contact_id = :kept WHERE theirs.contact_id = :loser"
)
_MERGE_CONTACT = (
    "UPDATE contact SET name = COALESCE(contact.name, l.name), word_at = CASE"
    " WHEN contact.word_at IS NULL OR l.word_at > contact.word_at THEN l.word_at ELSE contact.word_at END,"
    " erased_at = NULL FROM contact AS l WHERE contact.id = :kept AND l.id = :loser"
)


def _join_conversations(kept: int, loser: int) -> None:
    database.execute_named(
        "UPDATE conversation SET assigned_key = COALESCE(conversation.assigned_key, l.assigned_key),"
        " assigned_to = COALESCE(conversation.assigned_to, l.assigned_to),"
        " assigned_at = COALESCE(conversation.assigned_at, l.assigned_at),"
        " last_message_id = CASE WHEN l.last_sent_at > conversation.last_sent_at THEN l.last_message_id"
        " ELSE conversation.last_message_id END,"
        " last_sent_at = CASE WHEN l.last_sent_at > conversation.last_sent_at THEN l.last_sent_at"
        " ELSE conversation.last_sent_at END"
        " FROM conversation AS l WHERE conversation.id = :kept AND l.id = :loser",
        {"kept": kept, "loser": loser},
    )
    Conversation.delete().where(Conversation.id == loser).execute()
    forward(f"{CONVERSATION_PREFIX}{loser}", f"{CONVERSATION_PREFIX}{kept}")


def forward(old: str, now: str) -> None:
    """Whoever kept an id that a merge took away finds what it has become."""
    Forwarded.update(now=now).where(Forwarded.now == old).execute()
    Forwarded.insert(old=old, now=now).on_conflict(
        conflict_target=[Forwarded.old], update={Forwarded.now: now}
    ).execute()


def by_public_id(
    public_ids: Iterable[str], prefix: str, read: Callable[[Sequence[int]], dict[int, Found]]
) -> dict[str, Found]:
    """What stands behind these ids of contacts or of conversations, also of those that a merge took away.

    `read` finds rows by their numbers.
    """
    asked = list(public_ids)
    query = Forwarded.select(Forwarded.old, Forwarded.now).where(Forwarded.old.in_(asked))
    current = dict(database.tuples(query))
    wanted = database.numbers((current.get(one, one) for one in asked), prefix)
    found: dict[str, Found] = {}
    for part in database.parts(list(wanted)):
        found |= {wanted[row_id]: value for row_id, value in read(part).items()}
    return {one: found[current.get(one, one)] for one in asked if current.get(one, one) in found}


# Words on marketing


def note_word(contact_id: int, at: int, unless_equal: bool = False) -> bool:
    """Note Meta's time of a word on marketing (epoch milliseconds); False if a newer one is known, or with
    `unless_equal` one of the same time."""
    older = Contact.word_at < at if unless_equal else Contact.word_at <= at
    query = Contact.update(word_at=at).where((Contact.id == contact_id) & (Contact.word_at.is_null() | older))
    return database.change(query) == 1
