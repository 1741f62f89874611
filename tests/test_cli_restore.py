"""What must not be lost, nor left behind, however `acekeeper backup` and `restore` end."""

import errno
import gzip
import io
import os
import signal
import sqlite3
import subprocess
import tarfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from acekeeper.adapters.backup import DATABASE, prepare, swap, unpack, write
from acekeeper.adapters.database import connect
from acekeeper.errors import BadBackup, StoreFailed

from .running import COMMAND, LIMIT_S, run, settings
from .test_cli import one_line

IMAGE = f"localhost/engine@sha256:{64 * '0'}"
SYSTEMCTL = """\
#!/bin/sh
echo "$*" >> {said}
case "$2" in
    is-active) printf '{states}' ;;
    stop) {stop} ;;
esac
"""


def filled(path: Path, kind: str) -> Path:
    with closing(connect(path)) as db:
        db.execute(
            "INSERT INTO log (id, ts, kind, stream, data) VALUES (9, 1.0, ?, '', '{}')", (kind,)
        )
    return path


def kinds(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        return {kind for (kind,) in db.execute("SELECT kind FROM log WHERE id = 9")}


def packed(directory: Path, database: Path, settings_file: Path | None = None) -> bytes:
    directory.mkdir()
    archive = io.BytesIO()
    write(archive, database, settings_file, directory)
    return archive.getvalue()


@pytest.fixture
def here(tmp_path: Path) -> dict[str, str]:
    environ = settings(tmp_path)
    filled(Path(environ["STATE_DIR"]) / DATABASE, "before")
    return environ


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "kept.tar.gz"
    path.write_bytes(packed(tmp_path / "packed", filled(tmp_path / "other.db", "of_backup")))
    return path


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """Its last entry is in the write-ahead log alone."""
    database = tmp_path / "killed" / DATABASE
    with closing(connect(filled(tmp_path / "running.db", "first"))) as db:
        db.execute("UPDATE log SET kind = 'last' WHERE id = 9")
        database.parent.mkdir()
        for suffix in ("", "-wal"):
            running = tmp_path / f"running.db{suffix}"
            database.with_name(DATABASE + suffix).write_bytes(running.read_bytes())
    return database


def test_a_restore_that_ends_halfway_leaves_the_database_of_before(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, rename = filled(tmp_path / "new.db", "of_backup"), Path.rename

    def renamed(path: Path, target: Path) -> Path:
        if path == new:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", renamed)
    with pytest.raises(KeyboardInterrupt):
        swap(new, killed)
    assert kinds(killed) == {"last"}
    monkeypatch.undo()
    aside = swap(new, killed)
    assert aside is not None
    assert kinds(aside) == {"last"}
    assert kinds(killed) == {"of_backup"}


def test_a_disk_that_does_not_let_it_says_so(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = filled(tmp_path / "new.db", "of_backup")

    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "hardlink_to", refused)
    with pytest.raises(StoreFailed, match="cannot be replaced: Read-only file system"):
        swap(new, killed)
    assert kinds(killed) == {"last"}


def test_two_restores_in_one_second_keep_both_databases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = time.gmtime()
    monkeypatch.setattr(time, "gmtime", lambda: moment)
    database = filled(tmp_path / DATABASE, "first")
    asides = [swap(filled(tmp_path / f"{kind}.db", kind), database) for kind in ("second", "third")]
    assert [kinds(aside) for aside in asides if aside] == [{"first"}, {"second"}]
    assert kinds(database) == {"third"}


def test_a_database_that_cannot_be_used_is_kept_as_it_is(killed: Path, tmp_path: Path) -> None:
    killed.write_bytes(b"no database at all")
    killed.with_name(f"{DATABASE}-wal").unlink()
    aside = swap(filled(tmp_path / "new.db", "of_backup"), killed)
    assert aside is not None
    assert aside.read_bytes() == b"no database at all"
    assert kinds(killed) == {"of_backup"}


def test_what_somebody_else_has_open_is_kept_with_its_log(killed: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(killed)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM log").fetchall()
        aside = swap(filled(tmp_path / "new.db", "of_backup"), killed)
    assert aside is not None
    assert kinds(aside) == {"last"}
    assert kinds(killed) == {"of_backup"}


def on_host(here: dict[str, str], tmp_path: Path, states: str, stop: str = ":") -> dict[str, str]:
    tools = tmp_path / "tools"
    tools.mkdir()
    said = tmp_path / "said"
    (tools / "systemctl").write_text(SYSTEMCTL.format(said=said, states=states, stop=stop))
    (tools / "systemctl").chmod(0o755)
    path = f"{tools}:{here['PATH']}"
    return here | {"RUNTIME": "quadlet", "TARGET_IMAGE": IMAGE, "PATH": path}


@pytest.mark.parametrize(
    ("states", "started"),
    [
        (
            "active\\nactive\\nactive\\n",
            "acekeeper.socket acekeeper-gateway.socket acekeeper.service",
        ),
        ("active\\nfailed\\ninactive\\n", "acekeeper.socket"),
        ("inactive\\ninactive\\nfailed\\n", "acekeeper.service"),
        ("inactive\\ninactive\\ninactive\\n", None),
    ],
)
def test_what_ran_before_a_restore_runs_after_it(
    here: dict[str, str], archive: Path, tmp_path: Path, states: str, started: str | None
) -> None:
    assert run(on_host(here, tmp_path, states), "restore", str(archive)).status == 0
    last = (tmp_path / "said").read_text().splitlines()[-1].removeprefix("--user ")
    assert last == f"start {started}" if started else last.startswith("stop ")


@pytest.mark.parametrize("name", ["HUP", "INT", "TERM"])
def test_a_restore_that_is_ended_while_it_stops_the_service_starts_it_again(
    here: dict[str, str], archive: Path, tmp_path: Path, name: str
) -> None:
    environ = on_host(here, tmp_path, "active\\nactive\\nactive\\n", stop=f"kill -{name} $PPID")
    ended = run(environ, "restore", str(archive))
    assert ended.status == 128 + signal.Signals[f"SIG{name}"]
    assert "start acekeeper.socket" in (tmp_path / "said").read_text().splitlines()[-1]
    state = Path(environ["STATE_DIR"])
    assert [path.name for path in state.iterdir()] == [DATABASE]
    assert kinds(state / DATABASE) == {"before"}


def test_one_that_cannot_stop_the_service_starts_what_it_stopped(
    here: dict[str, str], archive: Path, tmp_path: Path
) -> None:
    environ = on_host(here, tmp_path, "active\\nactive\\nactive\\n", stop="exit 1")
    refused = run(environ, "restore", str(archive))
    assert "the service cannot be stopped" in one_line(refused.stderr)
    assert "start acekeeper.socket" in (tmp_path / "said").read_text().splitlines()[-1]


def pax(body: bytes) -> bytes:
    """A header that goes before another one's."""
    entry = tarfile.TarInfo("said")
    entry.type, entry.size = tarfile.XHDTYPE, len(body)
    return entry.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)


@pytest.mark.parametrize("said", [b"12 size=-50\n", b"22 GNU.sparse.map=1,a\n", b"9 size=x\n"])
def test_headers_that_make_no_sense_are_refused_in_words(
    archive: Path, tmp_path: Path, said: bytes
) -> None:
    forged = gzip.compress(pax(said) + gzip.decompress(archive.read_bytes()))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadBackup):
        unpack(io.BytesIO(forged), tmp_path / "empty")


def test_a_manifest_that_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    forged, text = io.BytesIO(), b'{"format":1,"version":"\xff"}'
    with tarfile.open(fileobj=forged, mode="w:gz") as tar:
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    forged.seek(0)
    with pytest.raises(BadBackup):
        unpack(forged, tmp_path)


def test_a_database_with_a_moment_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    database = filled(tmp_path / DATABASE, "before")
    with closing(connect(database)) as db:
        db.execute("INSERT INTO kept VALUES ('maintenance', 'soon')")
    with pytest.raises(BadBackup, match="cannot be used"):
        prepare(database)


def test_a_database_that_could_not_be_restored_is_not_backed_up(tmp_path: Path) -> None:
    database = filled(tmp_path / DATABASE, "before")
    with closing(sqlite3.connect(database)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'log_ts'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    damaged = bytearray(database.read_bytes())
    damaged[(page - 1) * size : page * size] = bytes(size)
    database.write_bytes(damaged)
    with pytest.raises(StoreFailed, match="corrupt"):
        packed(tmp_path / "packed", database)


def test_settings_that_are_no_text_hinder_no_restore(here: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_bytes(b"# \xe9\nMIN_REPLICAS=1\n")
    kept = tmp_path / "kept.tar.gz"
    kept.write_bytes(packed(tmp_path / "packed", filled(tmp_path / "other.db", "of_backup"), file))
    restored = run(here, "restore", str(kept))
    assert restored.status == 0, restored.stderr
    assert "those of the backup: MIN_REPLICAS;" in restored.stdout
    assert run(here, "restore", "--settings", str(kept)).status == 0


@pytest.mark.parametrize("name", [".", "/", "a-pipe"])
def test_a_backup_takes_the_place_of_no_other_thing_than_a_file(
    here: dict[str, str], tmp_path: Path, name: str
) -> None:
    os.mkfifo(tmp_path / "a-pipe")
    refused = run(here, "backup", str(tmp_path / name) if name == "a-pipe" else name)
    assert refused.status == 1
    assert "is no file" in one_line(refused.stderr)
    assert (tmp_path / "a-pipe").is_fifo()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("backup >&-", "standard output"),
        ("restore - <&-", "standard input"),
        ("simulate - <&-", "standard input"),
    ],
)
def test_where_there_is_no_standard_file_it_says_so(
    here: dict[str, str], words: str, what: str
) -> None:
    closed = ["sh", "-c", f"exec {COMMAND} {words}"]
    refused = subprocess.run(
        closed, env=here, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert refused.returncode == 1
    assert f"there is no {what}" in one_line(refused.stderr)
