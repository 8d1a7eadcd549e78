"""The first schema: design section 6, with the checks that refuse nonsense.

Each index says which query it serves.
"""

import secrets
import time

SCHEMA = """
CREATE TABLE installation (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    key TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE channel (
    id {serial},
    phone_number_id TEXT NOT NULL UNIQUE,
    waba_id TEXT NOT NULL,
    portfolio TEXT NOT NULL,
    display_phone_number TEXT,
    verified_name TEXT,
    status TEXT,
    code_verification_status TEXT,
    quality_rating TEXT,
    tier TEXT,
    throughput TEXT,
    coexistence BOOLEAN NOT NULL,
    pace_override DOUBLE PRECISION CHECK (pace_override > 0),
    access_token TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    synced_at BIGINT
);
CREATE TABLE template (
    id {serial},
    waba_id TEXT NOT NULL,
    name TEXT NOT NULL,
    language TEXT NOT NULL,
    status TEXT NOT NULL,
    category TEXT,
    parameter_format TEXT,
    quality TEXT,
    components TEXT NOT NULL,
    synced_at BIGINT NOT NULL,
    UNIQUE (waba_id, name, language)
);
CREATE TABLE token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    used_at BIGINT
);
CREATE TABLE broadcast (
    id {serial},
    public_id TEXT NOT NULL UNIQUE,
    channel_id INTEGER NOT NULL REFERENCES channel (id),
    token_id TEXT,
    title TEXT,
    template_name TEXT NOT NULL,
    template_language TEXT NOT NULL,
    priority INTEGER NOT NULL,
    metadata TEXT,
    duplicates INTEGER NOT NULL CHECK (duplicates >= 0),
    scheduled BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    started_at BIGINT CHECK (started_at >= due_at),
    paused_at BIGINT,
    pause_reason TEXT,
    pause_detail TEXT,
    stopped_at BIGINT,
    stopped_cancelled INTEGER,
    stopped_in_flight INTEGER,
    finished_at BIGINT,
    CHECK ((paused_at IS NULL) = (pause_reason IS NULL)),
    CHECK ((stopped_at IS NULL) = (stopped_cancelled IS NULL)),
    CHECK ((stopped_at IS NULL) = (stopped_in_flight IS NULL))
);
-- The sweep and every claim: a channel's broadcasts that have not ended, by the time they are due.
CREATE INDEX broadcast_open ON broadcast (channel_id, due_at) WHERE finished_at IS NULL;
CREATE TABLE message (
    id {serial},
    broadcast_id INTEGER NOT NULL REFERENCES broadcast (id),
    recipient TEXT NOT NULL,
    content TEXT NOT NULL,
    variables TEXT,
    metadata TEXT,
    state TEXT NOT NULL
        CHECK (state IN ('pending', 'sending', 'sent', 'failed', 'unknown', 'cancelled')),
    delivery TEXT CHECK (delivery IN ('sent', 'delivered', 'read', 'failed')),
    attempt INTEGER NOT NULL CHECK (attempt >= 0),
    tries INTEGER NOT NULL CHECK (tries BETWEEN 0 AND attempt),
    next_at BIGINT NOT NULL,
    claimed_at BIGINT,
    settled_at BIGINT,
    sent_at BIGINT,
    wamid TEXT,
    error_code TEXT,
    error_text TEXT,
    CHECK (state <> 'sent' OR (wamid IS NOT NULL AND sent_at IS NOT NULL)),
    CHECK (state <> 'failed' OR error_code IS NOT NULL),
    CHECK (state NOT IN ('sending', 'unknown') OR claimed_at IS NOT NULL),
    CHECK (delivery IS NULL OR state IN ('sent', 'failed', 'unknown', 'sending'))
);
-- Counters, and whether a broadcast still has open messages: answered from the index alone.
CREATE INDEX message_counts ON message (broadcast_id, state, delivery);
-- Pages of a broadcast's messages, by id.
CREATE INDEX message_page ON message (broadcast_id, id);
-- Claims: a broadcast's messages that may leave now, first come first.
CREATE INDEX message_waiting ON message (broadcast_id, next_at, id) WHERE state = 'pending';
-- Closing what stayed unknown for too long.
CREATE INDEX message_unknown ON message (claimed_at) WHERE state = 'unknown';
-- A message by Meta's id: receipts and GET /v1/messages. Not unique: it is Meta's promise, not ours.
CREATE INDEX message_wamid ON message (wamid) WHERE wamid IS NOT NULL;
CREATE TABLE reached (
    portfolio TEXT NOT NULL,
    recipient TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (portfolio, recipient)
);
-- How many people a portfolio reached in the last 24 hours.
CREATE INDEX reached_window ON reached (portfolio, at);
CREATE TABLE lease (
    channel_id INTEGER PRIMARY KEY REFERENCES channel (id),
    owner TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    claimed_at BIGINT NOT NULL,
    pace DOUBLE PRECISION NOT NULL,
    trouble TEXT
);
CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
CREATE TABLE idempotency (
    token_id TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    broadcast_id INTEGER NOT NULL REFERENCES broadcast (id),
    answer TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (token_id, key)
);
-- Dropping keys whose broadcast ended a day ago.
CREATE INDEX idempotency_broadcast ON idempotency (broadcast_id)
"""

# Ids of deleted messages must not come back: they stand in the callback data of messages under way.
SERIAL = {
    "SqliteMigrator": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "PostgresqlMigrator": "BIGSERIAL PRIMARY KEY",
}


def up(migrator, db):
    schema = SCHEMA.format(serial=SERIAL[type(migrator).__name__])
    for statement in schema.split(";\n"):
        db.execute_sql(statement)
    created = [1, secrets.token_hex(4), int(time.time() * 1000)]
    values = ", ".join([db.param] * 3)
    db.execute_sql(f"INSERT INTO installation (id, key, created_at) VALUES ({values})", created)
