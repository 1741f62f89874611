"""The database's shape, step by step. A step only adds, so that the version before it can still
read and write what it knows."""

import sqlite3
import time
from collections.abc import Callable


def _first(db: sqlite3.Connection) -> None:
    db.execute("""
        CREATE TABLE engines (
            host TEXT NOT NULL, port INTEGER NOT NULL, start TEXT NOT NULL,
            container_id TEXT NOT NULL, phase TEXT NOT NULL, health TEXT NOT NULL,
            labels TEXT NOT NULL, asked REAL NOT NULL, started REAL, ready REAL, used REAL,
            free_since REAL, handed REAL, claim TEXT, claim_until REAL, drain TEXT,
            drain_since REAL, unlisted REAL, unhealthy REAL, stop_reason TEXT NOT NULL, seen REAL,
            checked REAL, gone REAL, PRIMARY KEY (host, port, start)
        )
    """)
    db.execute("""
        CREATE TABLE streams (
            id TEXT PRIMARY KEY, key_type TEXT NOT NULL, key TEXT NOT NULL, session TEXT NOT NULL,
            stat_url TEXT NOT NULL, command_url TEXT NOT NULL, is_live INTEGER NOT NULL,
            address_host TEXT NOT NULL, address_port INTEGER NOT NULL, host TEXT, port INTEGER,
            start TEXT NOT NULL, container_id TEXT NOT NULL, started REAL NOT NULL, ended REAL,
            reason TEXT NOT NULL
        )
    """)
    db.execute(
        "CREATE TABLE early_ends (id TEXT PRIMARY KEY, at REAL NOT NULL, reason TEXT NOT NULL)"
    )
    db.execute("CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    db.execute("""
        CREATE TABLE log (
            id INTEGER PRIMARY KEY, ts REAL NOT NULL, kind TEXT NOT NULL, host TEXT, port INTEGER,
            stream TEXT NOT NULL, data TEXT NOT NULL
        )
    """)
    db.execute("CREATE INDEX engines_gone ON engines (gone)")
    db.execute("CREATE INDEX streams_ended ON streams (ended)")
    db.execute("CREATE INDEX log_ts ON log (ts)")


def _log_is_read(db: sqlite3.Connection) -> None:
    """Readers of the log go on from the last id they saw. A new log begins where none before it
    can have got to, so that they miss nothing when a database had to be begun anew."""
    now = time.time()
    db.execute("CREATE INDEX log_kind ON log (kind, ts)")
    db.execute(
        "INSERT INTO log (id, ts, kind, stream, data) SELECT ?, ?, 'log_begun', '', '{}'"
        " WHERE NOT EXISTS (SELECT 1 FROM log)",
        (int(now * 1000), now),
    )


def _samples(db: sqlite3.Connection) -> None:
    """By the rowid of their stream, since its id is longer than all the rest."""
    db.execute("""
        CREATE TABLE samples (
            stream INTEGER NOT NULL, ts REAL NOT NULL, status TEXT NOT NULL, peers INTEGER NOT NULL,
            speed_down INTEGER NOT NULL, speed_up INTEGER NOT NULL, downloaded INTEGER NOT NULL,
            uploaded INTEGER NOT NULL, PRIMARY KEY (stream, ts)
        ) WITHOUT ROWID
    """)


def _all_an_event_told(db: sqlite3.Connection) -> None:
    """Of an engine that was not ours: its other addresses and its container id, by which it may
    turn out to be."""
    db.execute("ALTER TABLE streams ADD COLUMN told TEXT NOT NULL DEFAULT ''")


def _by_the_gateway(db: sqlite3.Connection) -> None:
    """How a stream came to be that the gateway opened."""
    db.execute("ALTER TABLE streams ADD COLUMN gateway TEXT NOT NULL DEFAULT ''")


def _holds(db: sqlite3.Connection) -> None:
    """What may play on an engine beside its streams."""
    db.execute("""
        CREATE TABLE holds (
            host TEXT NOT NULL, port INTEGER NOT NULL, start TEXT NOT NULL, key_type TEXT NOT NULL,
            key TEXT NOT NULL, infohash TEXT NOT NULL, token TEXT NOT NULL, since REAL NOT NULL,
            PRIMARY KEY (host, port, start, key_type, key, infohash, token)
        ) WITHOUT ROWID
    """)


def _addresses(db: sqlite3.Connection) -> None:
    """Where players reach an engine. The engine itself is its port and its start: a version before
    called it by an address of ENGINE_HOST."""
    db.execute("ALTER TABLE engines ADD COLUMN addresses TEXT NOT NULL DEFAULT '127.0.0.1'")
    db.execute("UPDATE OR REPLACE engines SET host = '127.0.0.1' WHERE host <> '127.0.0.1'")
    db.execute("UPDATE streams SET host = '127.0.0.1' WHERE host <> '127.0.0.1'")


def _forms_of_holds(db: sqlite3.Connection) -> None:
    """In which form each was opened, as the engine may be asked for it once more."""
    db.execute("ALTER TABLE holds ADD COLUMN is_hls INTEGER NOT NULL DEFAULT 0")


_STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    _first,
    _log_is_read,
    _samples,
    _all_an_event_told,
    _by_the_gateway,
    _holds,
    _addresses,
    _forms_of_holds,
)


def migrate(db: sqlite3.Connection) -> None:
    """A database of a newer version is left as it is."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    for number, step in enumerate(_STEPS[version:], start=version + 1):
        db.execute("BEGIN IMMEDIATE")
        step(db)
        db.execute(f"PRAGMA user_version = {number}")
        db.execute("COMMIT")
