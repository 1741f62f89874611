"""Another program at the database of a service, as a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .service import LIMIT_S

_HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for sql in sys.argv[2:]:
    db.execute(sql).fetchall()
print("holds", flush=True)
sys.stdin.read()
"""
_RUN = """
import sqlite3, sys
print(sqlite3.connect(sys.argv[1], isolation_level=None).execute(sys.argv[2]).fetchall())
"""


def run(database: Path, sql: str) -> str:
    """As `sqlite3 FILE SQL` does: opens it, asks and closes it again."""
    command = [sys.executable, "-c", _RUN, str(database), sql]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    return ended.stdout.strip()


@contextmanager
def holding(database: Path, *sql: str) -> Iterator[None]:
    """With what these statements hold."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(database), *sql],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"holds\n"
        yield
        assert other.stdin is not None
        other.stdin.close()
