"""One person, many names: every number, spelling and user id belongs to a contact; opt-outs and the people
reached go by contact. Messages stay as they are."""

TABLES = (
    "ALTER TABLE contact ADD COLUMN word_at BIGINT",
    "ALTER TABLE contact ADD COLUMN erased_at BIGINT",
    "ALTER TABLE conversation ADD COLUMN last_message_id BIGINT",
    # Who a name means. Every spelling is a row, so that every look-up is one equality.
    """CREATE TABLE contact_name (
        name TEXT{collation} PRIMARY KEY,
        contact_id INTEGER NOT NULL REFERENCES contact (id),
        portfolio TEXT
    ){without_rowid}""",
    # All names of a person.
    "CREATE INDEX contact_name_contact ON contact_name (contact_id)",
    # Ids of contacts and conversations that a merge took away, and what they are now.
    "CREATE TABLE forwarded (old TEXT PRIMARY KEY, now TEXT NOT NULL)",
    "ALTER TABLE suppression RENAME TO old_suppression",
    "ALTER TABLE reached RENAME TO old_reached",
    """CREATE TABLE suppression (
        contact_id INTEGER PRIMARY KEY REFERENCES contact (id),
        recipient TEXT NOT NULL UNIQUE,
        reason TEXT NOT NULL,
        source TEXT NOT NULL,
        created_at BIGINT NOT NULL
    )""",
    # The contact comes first, so that a merge finds its rows.
    """CREATE TABLE reached (
        contact_id INTEGER NOT NULL REFERENCES contact (id),
        portfolio TEXT NOT NULL,
        at BIGINT NOT NULL,
        PRIMARY KEY (contact_id, portfolio)
    ){without_rowid}""",
)
STRANGERS = (
    # People who stand only in suppressions, among the reached, or in messages.
    "INSERT INTO contact (recipient, created_at) SELECT recipient, created_at FROM old_suppression"
    " WHERE 1 = 1 ON CONFLICT (recipient) DO NOTHING",
    "INSERT INTO contact (recipient, created_at) SELECT recipient, MIN(at) FROM old_reached"
    " WHERE recipient <> '' GROUP BY recipient ON CONFLICT (recipient) DO NOTHING",
    "INSERT INTO contact (recipient, created_at)"
    " SELECT message.recipient, MIN(broadcast.created_at) FROM message"
    " JOIN broadcast ON broadcast.id = message.broadcast_id"
    " WHERE message.state IN ('pending', 'sending', 'unknown') AND message.recipient <> ''"
    " GROUP BY message.recipient ON CONFLICT (recipient) DO NOTHING",
)
MOVES = (
    "INSERT INTO suppression (contact_id, recipient, reason, source, created_at)"
    " SELECT contact_name.contact_id, contact.recipient, s.reason, s.source, s.created_at"
    " FROM old_suppression s JOIN contact_name ON contact_name.name = s.recipient"
    " JOIN contact ON contact.id = contact_name.contact_id"
    # The newest word of a person with several names is what a later one is compared with.
    " WHERE 1 = 1 ORDER BY s.created_at ON CONFLICT (contact_id) DO UPDATE SET reason = excluded.reason,"
    " source = excluded.source, created_at = excluded.created_at",
    "INSERT INTO reached (contact_id, portfolio, at) SELECT contact_name.contact_id, r.portfolio, MAX(r.at)"
    " FROM old_reached r JOIN contact_name ON contact_name.name = r.recipient"
    " GROUP BY contact_name.contact_id, r.portfolio",
    "DROP TABLE old_suppression",
    "DROP TABLE old_reached",
    # How many people a portfolio has reached since a time.
    "CREATE INDEX reached_recent ON reached (portfolio, at)",
)
AT_ONCE = 10_000
SQLITE = "SqliteMigrator"


def up(migrator, db):
    is_sqlite = type(migrator).__name__ == SQLITE
    words = {
        "collation": "" if is_sqlite else ' COLLATE "C"',
        "without_rowid": " WITHOUT ROWID" if is_sqlite else "",
    }
    for statement in (*TABLES, *STRANGERS):
        db.execute_sql(statement.format(**words))
    merged = name_people(db)
    join_conversations(db, merged)
    for old, now in sorted(merged.items()):
        take_over_name(db, old, now)
    for part in parts(sorted(merged)):
        marks = ", ".join([db.param] * len(part))
        db.execute_sql(f"DELETE FROM contact WHERE id IN ({marks})", part)
    for statement in MOVES:
        db.execute_sql(statement)
    db.execute_sql("DROP INDEX contact_wa_id")
    db.execute_sql("ALTER TABLE contact DROP COLUMN wa_id")


def name_people(db):
    """Give each contact its names; contacts that share one are one person. Returns who merges into whom."""
    owner, merged = {}, {}

    def root(contact_id):
        while contact_id in merged:
            contact_id = merged[contact_id]
        return contact_id

    for contact_id, recipient, wa_id in db.execute_sql(
        "SELECT id, recipient, wa_id FROM contact ORDER BY id"
    ).fetchall():
        for known in (recipient, wa_id):
            for name in spellings(known) if known else ():
                mine, theirs = root(contact_id), root(owner.setdefault(name, contact_id))
                if mine != theirs:
                    merged[max(mine, theirs)] = min(mine, theirs)
    for part in parts([(name, root(contact_id)) for name, contact_id in sorted(owner.items())]):
        marks = ", ".join([f"({db.param}, {db.param})"] * len(part))
        db.execute_sql(
            f"INSERT INTO contact_name (name, contact_id) VALUES {marks}",
            [value for row in part for value in row],
        )
    return {contact_id: root(contact_id) for contact_id in merged}


def join_conversations(db, merged):
    """Conversations of people who are one become one: the newest hand-over, whatever assignment there is."""
    for old, now in sorted(merged.items()):
        for values in db.execute_sql(
            "SELECT id, channel_id, created_at, last_sent_at, assigned_key, assigned_to, assigned_at"
            f" FROM conversation WHERE contact_id = {db.param}",
            [old],
        ).fetchall():
            join_conversation(db, now, *values)


def join_conversation(db, now, old_id, channel_id, created_at, last_sent_at, key, to, at):
    p = db.param
    there = db.execute_sql(
        f"SELECT id FROM conversation WHERE contact_id = {p} AND channel_id = {p}", [now, channel_id]
    ).fetchone()
    if there is None:
        db.execute_sql(f"UPDATE conversation SET contact_id = {p} WHERE id = {p}", [now, old_id])
        return
    db.execute_sql(f"DELETE FROM conversation WHERE id = {p}", [old_id])
    db.execute_sql(
        f"UPDATE conversation SET created_at = MIN(created_at, {p}), last_sent_at = MAX(last_sent_at, {p}),"
        f" assigned_key = COALESCE(assigned_key, {p}), assigned_to = COALESCE(assigned_to, {p}),"
        f" assigned_at = COALESCE(assigned_at, {p}) WHERE id = {p}",
        [created_at, last_sent_at, key, to, at, there[0]],
    )
    forward(db, f"cv_{old_id}", f"cv_{there[0]}")


def take_over_name(db, old, now):
    p = db.param
    db.execute_sql(
        f"UPDATE contact SET name = COALESCE(name, (SELECT name FROM contact WHERE id = {p})),"
        f" created_at = MIN(created_at, (SELECT created_at FROM contact WHERE id = {p})) WHERE id = {p}",
        [old, old, now],
    )
    forward(db, f"ct_{old}", f"ct_{now}")


def forward(db, old, now):
    db.execute_sql(f"INSERT INTO forwarded (old, now) VALUES ({db.param}, {db.param})", [old, now])


def parts(rows):
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]


def spellings(name):
    """A name and its sister spelling in Brazil, Mexico and Argentina, as they were when this was written."""
    return (name, other) if (other := sister(name)) else (name,)


def sister(name):
    if name.startswith("+521") and len(name) == 14:
        return "+52" + name[4:]
    if name.startswith("+52") and len(name) == 13:
        return "+521" + name[3:]
    if name.startswith("+549") and len(name) == 14 and name[4] != "9":
        return "+54" + name[4:]
    if name.startswith("+54") and len(name) == 13 and name[3] != "9":
        return "+549" + name[3:]
    if name.startswith("+55") and len(name) == 14 and name[5] == "9" and name[6] in "6789":
        return name[:5] + name[6:]
    if name.startswith("+55") and len(name) == 13 and name[5] in "6789":
        return name[:5] + "9" + name[5:]
    return None
