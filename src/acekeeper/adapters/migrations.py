"""The database's shape, step by step. A step only adds, so that the version before it can still
read and write what it knows."""

import sqlite3

_STEPS = (
    """
    CREATE TABLE engines (
        host TEXT NOT NULL, port INTEGER NOT NULL, start TEXT NOT NULL,
        container_id TEXT NOT NULL, phase TEXT NOT NULL, health TEXT NOT NULL,
        labels TEXT NOT NULL, asked REAL NOT NULL, started REAL, ready REAL, used REAL,
        free_since REAL, handed REAL, claim TEXT, claim_until REAL, drain TEXT,
        drain_since REAL, unlisted REAL, unhealthy REAL, stop_reason TEXT NOT NULL, seen REAL,
        checked REAL, gone REAL, PRIMARY KEY (host, port, start)
    );
    CREATE TABLE streams (
        id TEXT PRIMARY KEY, key_type TEXT NOT NULL, key TEXT NOT NULL, session TEXT NOT NULL,
        stat_url TEXT NOT NULL, command_url TEXT NOT NULL, is_live INTEGER NOT NULL,
        address_host TEXT NOT NULL, address_port INTEGER NOT NULL, host TEXT, port INTEGER,
        start TEXT NOT NULL, container_id TEXT NOT NULL, started REAL NOT NULL, ended REAL,
        reason TEXT NOT NULL
    );
    CREATE TABLE early_ends (id TEXT PRIMARY KEY, at REAL NOT NULL, reason TEXT NOT NULL);
    CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE log (
        id INTEGER PRIMARY KEY, ts REAL NOT NULL, kind TEXT NOT NULL, host TEXT, port INTEGER,
        stream TEXT NOT NULL, data TEXT NOT NULL
    );
    CREATE INDEX engines_gone ON engines (gone);
    CREATE INDEX streams_ended ON streams (ended);
    CREATE INDEX log_ts ON log (ts);
    """,
    # Readers of the log go on from the last id they saw. A new log begins where none before it
    # can have got to, so that they miss nothing when a database had to be begun anew.
    """
    CREATE INDEX log_kind ON log (kind, ts);
    INSERT INTO log (id, ts, kind, stream, data)
        SELECT CAST(now * 1000 AS INTEGER), now, 'log_begun', '', '{}'
        FROM (SELECT (julianday('now') - 2440587.5) * 86400 AS now)
        WHERE NOT EXISTS (SELECT 1 FROM log);
    """,
    # By the rowid of their stream, since its id is longer than all the rest.
    """
    CREATE TABLE samples (
        stream INTEGER NOT NULL, ts REAL NOT NULL, status TEXT NOT NULL, peers INTEGER NOT NULL,
        speed_down INTEGER NOT NULL, speed_up INTEGER NOT NULL, downloaded INTEGER NOT NULL,
        uploaded INTEGER NOT NULL, PRIMARY KEY (stream, ts)
    ) WITHOUT ROWID;
    """,
    # Of an engine that was not ours: its other addresses and its container id, by which it may
    # turn out to be.
    "ALTER TABLE streams ADD COLUMN told TEXT NOT NULL DEFAULT '';",
    # How a stream came to be that the gateway opened.
    "ALTER TABLE streams ADD COLUMN gateway TEXT NOT NULL DEFAULT '';",
    # What may play on an engine beside its streams.
    """
    CREATE TABLE holds (
        host TEXT NOT NULL, port INTEGER NOT NULL, start TEXT NOT NULL, key_type TEXT NOT NULL,
        key TEXT NOT NULL, infohash TEXT NOT NULL, token TEXT NOT NULL, since REAL NOT NULL,
        PRIMARY KEY (host, port, start, key_type, key, infohash, token)
    ) WITHOUT ROWID;
    """,
    # Where players reach an engine. The engine itself is its port and its start: a version before
    # called it by an address of ENGINE_HOST.
    """
    ALTER TABLE engines ADD COLUMN addresses TEXT NOT NULL DEFAULT '127.0.0.1';
    UPDATE OR REPLACE engines SET host = '127.0.0.1' WHERE host <> '127.0.0.1';
    UPDATE streams SET host = '127.0.0.1' WHERE host <> '127.0.0.1';
    """,
    # In which form each was opened, as the engine may be asked for it once more.
    "ALTER TABLE holds ADD COLUMN is_hls INTEGER NOT NULL DEFAULT 0;",
    # How the host got out to the network when an engine started.
    "ALTER TABLE engines ADD COLUMN way_out TEXT NOT NULL DEFAULT '';",
    # The VPN that an engine is behind.
    "ALTER TABLE engines ADD COLUMN behind TEXT NOT NULL DEFAULT '';",
)


def migrate(db: sqlite3.Connection) -> None:
    """A database of a newer version is left as it is."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    for number, step in enumerate(_STEPS[version:], start=version + 1):
        db.executescript(f"BEGIN IMMEDIATE; {step} PRAGMA user_version = {number}; COMMIT")
