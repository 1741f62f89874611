"""`acekeeper backup` and `restore`, of services that run."""

import gzip
import hashlib
import io
import itertools
import json
import os
import sqlite3
import stat
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from .api.bodies import started
from .running import COMMAND, LIMIT_S, Service, run, settings
from .test_cli import Start, call, one_line, start

__all__ = ["start"]


def tell(service: Service, session: str) -> str:
    """A stream on somebody else's engine; its id, once it is acknowledged."""
    event = started(port=1, token=session)
    answer = call(service, "/events/stream_started", json.dumps(event).encode())
    stream_id: str = answer["stream_id"]
    return stream_id


@contextmanager
def load(service: Service) -> Iterator[list[str]]:
    """Events one after another; what it yields grows by each that was acknowledged."""
    told: list[str] = []
    over = threading.Event()

    def go_on() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            told.append(tell(service, f"load-{number}"))

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield told
    finally:
        over.set()
        thread.join(LIMIT_S)


def streams(service: Service) -> set[str]:
    host, port = service.address
    with urlopen(f"http://{host}:{port}/streams", timeout=LIMIT_S) as answer:
        return {stream["id"] for stream in json.load(answer)}


def log(service: Service) -> list[dict[str, Any]]:
    host, port = service.address
    with urlopen(f"http://{host}:{port}/log?limit=1000", timeout=LIMIT_S) as answer:
        entries: list[dict[str, Any]] = json.load(answer)
        return entries


def database(environ: dict[str, str]) -> Path:
    return Path(environ["STATE_DIR"]) / "acekeeper.db"


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]


def rewrite(archive: Path, **changed: bytes | None) -> None:
    """With another content of some of its files, or without them."""
    contents = {**members(archive), **{n.replace("_", "."): c for n, c in changed.items()}}
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in contents.items():
            if content is not None:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a service that has stopped."""
    where = tmp_path_factory.mktemp("kept")
    (where / "settings.env").write_text("MIN_REPLICAS=0\nAPI_KEY=a-secret-key\n")
    environ = settings(where) | {"SETTINGS_FILE": str(where / "settings.env")}
    service = Service(environ, where)
    service.wait_for("serving")
    service.end(15)
    assert run(environ, "backup", str(where / "kept.tar.gz")).status == 0
    return where / "kept.tar.gz"


@pytest.fixture
def copy(archive: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "copy.tar.gz"
    copied.write_bytes(archive.read_bytes())
    return copied


def test_a_backup_under_load_has_all_that_was_acknowledged_before_and_serves_elsewhere(
    start: Start, tmp_path: Path
) -> None:
    service = start()
    kept = tmp_path / "kept.tar.gz"
    with load(service) as told:
        while len(told) < 50:
            tell(service, "beside")
        before = set(told)
        begun = len(told)
        made = run(service.environ, "backup", str(kept))
        while len(told) < begun + 5:  # the service goes on
            tell(service, "beside")
    assert made.status == 0, made.stderr
    entries = log(service)
    fresh = settings(tmp_path / "fresh")
    restored = run(fresh, "restore", str(kept))
    assert restored.status == 0, restored.stderr
    there = start(fresh)
    assert before <= streams(there) <= streams(service)
    newest_first = log(there)
    [restored_at] = [entry["id"] for entry in newest_first if entry["kind"] == "log_restored"]
    ours = [entry for entry in newest_first if entry["id"] < restored_at]
    assert ours == entries[-len(ours) :]
    assert len(ours) >= begun
    assert stat.S_IMODE(database(fresh).stat().st_mode) == 0o600


def test_it_is_for_its_owner_alone_and_leaves_nothing_else(archive: Path) -> None:
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert {*members(archive)} == {"manifest.json", "acekeeper.db", "settings.env"}
    state = archive.parent / "state"
    assert not [*state.glob("backup-*")]
    assert not [*archive.parent.glob(".kept*")]


def test_it_may_go_to_standard_output_and_come_from_standard_input(
    archive: Path, tmp_path: Path
) -> None:
    environ = settings(archive.parent)
    made = subprocess.run(
        [COMMAND, "backup"], env=environ, capture_output=True, timeout=LIMIT_S, check=True
    )
    assert made.stderr.startswith(b"backed up: acekeeper.db ")
    fresh = settings(tmp_path)
    restored = subprocess.run(
        [COMMAND, "restore", "-"],
        env=fresh,
        input=made.stdout,
        capture_output=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert restored.stdout.startswith(b"restored the backup of 20")
    assert database(fresh).exists()


def test_standard_input_is_not_called_a_file(archive: Path, tmp_path: Path) -> None:
    def restored(body: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
        environ = settings(tmp_path) | {"SETTINGS_FILE": str(tmp_path / "settings.env")}
        command = [COMMAND, "restore", *options, "-"]
        return subprocess.run(
            command, env=environ, input=body, capture_output=True, timeout=LIMIT_S, check=False
        )

    (tmp_path / "settings.env").write_text("MIN_REPLICAS=1\n")
    refused = restored(b"hello")
    assert refused.stderr.startswith(b"acekeeper: standard input: it is no whole archive")
    said = restored(archive.read_bytes()).stdout
    assert b"`acekeeper restore --settings - < FILE` prints all of them" in said
    kept = tmp_path / "kept.tar.gz"
    kept.write_bytes(archive.read_bytes())
    rewrite(kept, settings_env=None)
    manifest = json.loads(members(kept)["manifest.json"])
    del manifest["members"]["settings.env"]
    rewrite(kept, manifest_json=json.dumps(manifest).encode())
    none = restored(kept.read_bytes(), "--settings")
    assert none.stderr == b"acekeeper: standard input has no settings file in it\n"


def test_the_database_before_is_kept_and_readers_of_the_log_miss_nothing(
    start: Start, tmp_path: Path
) -> None:
    service = start()
    kept = tmp_path / "kept.tar.gz"
    tell(service, "before")
    assert run(service.environ, "backup", str(kept)).status == 0
    later = tell(service, "later")
    [newest, *_] = log(service)
    service.end(15)
    said = run(service.environ, "restore", str(kept)).stdout
    [line] = [line for line in said.splitlines() if line.startswith("the database before it is ")]
    with closing(sqlite3.connect(line.removeprefix("the database before it is "))) as db:
        assert later in {row[0] for row in db.execute("SELECT id FROM streams")}
    again = start(service.environ)
    assert later not in streams(again)
    assert {entry["kind"] for entry in log(again) if entry["id"] > newest["id"]} >= {"log_restored"}
    tell(again, "after")
    assert log(again)[0]["id"] > newest["id"]


def test_it_is_refused_while_the_service_runs(start: Start, archive: Path) -> None:
    service = start()
    refused = run(service.environ, "restore", str(archive))
    assert refused.status != 0
    assert "another acekeeper is running" in one_line(refused.stderr)
    tell(service, "goes-on")
    assert [*database(service.environ).parent.glob("acekeeper.db.replaced*")] == []


def test_what_differs_of_the_settings_is_named_and_no_value_shown(
    archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "settings.env").write_text("MIN_REPLICAS=0\nAPI_KEY=another-key\n")
    fresh = settings(tmp_path) | {"SETTINGS_FILE": str(tmp_path / "settings.env")}
    said = run(fresh, "restore", str(archive))
    assert "settings that differ from those of the backup: API_KEY;" in said.stdout
    assert "a-secret" not in said.stdout
    assert "another" not in said.stdout
    shown = run(fresh, "restore", "--settings", str(archive))
    assert shown.stdout == "MIN_REPLICAS=0\nAPI_KEY=a-secret-key\n"


def broken(archive: Path, how: str) -> None:
    contents = members(archive)
    manifest = json.loads(contents["manifest.json"])
    match how:
        case "cut":
            archive.write_bytes(archive.read_bytes()[:-2000])
        case "no archive":
            archive.write_bytes(gzip.compress(b"hello" * 300))
        case "not compressed":
            archive.write_bytes(b"hello")
        case "another database":
            changed = bytearray(contents["acekeeper.db"])
            changed[-1] ^= 1
            rewrite(archive, acekeeper_db=bytes(changed))
        case "shorter":
            rewrite(archive, acekeeper_db=contents["acekeeper.db"][:-1])
        case "no database":
            rewrite(archive, acekeeper_db=None)
        case "another format":
            manifest["format"] = 2
            rewrite(archive, manifest_json=json.dumps(manifest).encode())
        case "no manifest":
            rewrite(archive, manifest_json=None)
        case "a path":
            with tarfile.open(archive, "w:gz") as tar:
                for name, content in {**contents, "../evil": b"x"}.items():
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
        case "a link":
            with tarfile.open(archive, "w:gz") as tar:
                entry = tarfile.TarInfo("manifest.json")
                entry.size = len(contents["manifest.json"])
                tar.addfile(entry, io.BytesIO(contents["manifest.json"]))
                entry = tarfile.TarInfo("acekeeper.db")
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(entry)
        case _:
            raise AssertionError(how)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("cut", "no whole archive"),
        ("no archive", "no whole archive"),
        ("not compressed", "no whole archive"),
        ("another database", "acekeeper.db is damaged"),
        ("shorter", "acekeeper.db is "),
        ("no database", "acekeeper.db is not in it"),
        ("another format", "format 2"),
        ("no manifest", "does not begin with manifest.json"),
        ("a path", "'../evil' is not what"),
        ("a link", "'acekeeper.db' is not what"),
    ],
)
def test_what_is_no_backup_changes_nothing(copy: Path, tmp_path: Path, how: str, why: str) -> None:
    broken(copy, how)
    fresh = settings(tmp_path / "fresh")
    refused = run(fresh, "restore", str(copy))
    assert refused.status == 1
    assert why in one_line(refused.stderr)
    assert str(copy) in refused.stderr
    assert [*Path(fresh["STATE_DIR"]).iterdir()] == []
    assert [*tmp_path.rglob("evil")] == []


def test_a_database_that_is_corrupt_though_the_archive_is_whole_is_refused(
    copy: Path, tmp_path: Path
) -> None:
    contents = members(copy)
    manifest = json.loads(contents["manifest.json"])
    noise = contents["acekeeper.db"][:4096] + os.urandom(len(contents["acekeeper.db"]) - 4096)
    manifest["members"]["acekeeper.db"]["sha256"] = hashlib.sha256(noise).hexdigest()
    rewrite(copy, acekeeper_db=noise, manifest_json=json.dumps(manifest).encode())
    fresh = settings(tmp_path / "fresh")
    refused = run(fresh, "restore", str(copy))
    assert refused.status == 1
    assert "acekeeper.db" in one_line(refused.stderr)
    assert not database(fresh).exists()


def test_where_there_is_nothing_to_back_up_it_says_so(tmp_path: Path) -> None:
    refused = run(settings(tmp_path), "backup", str(tmp_path / "kept"))
    assert "there is no database" in one_line(refused.stderr)
    assert not (tmp_path / "kept").exists()


def test_one_that_was_in_maintenance_is_again_and_says_so(start: Start, tmp_path: Path) -> None:
    service = start()
    run(service.environ, "drain", "--all")
    kept = tmp_path / "kept.tar.gz"
    assert run(service.environ, "backup", str(kept)).status == 0
    fresh = settings(tmp_path / "fresh")
    assert "it was in maintenance then" in run(fresh, "restore", str(kept)).stdout
    assert call(start(fresh), "/health/ready")["maintenance"]


def test_a_log_whose_ids_are_ahead_of_the_clock_is_restored_too(
    archive: Path, tmp_path: Path
) -> None:
    ahead, fresh = settings(tmp_path / "ahead"), settings(tmp_path / "fresh")
    assert run(ahead, "restore", str(archive)).status == 0
    with closing(sqlite3.connect(database(ahead))) as db:
        db.execute("UPDATE log SET id = id + 1000000000000")
        db.commit()
    assert run(ahead, "backup", str(tmp_path / "kept")).status == 0
    restored = run(fresh, "restore", str(tmp_path / "kept"))
    assert restored.status == 0, restored.stderr
    with closing(sqlite3.connect(database(fresh))) as db:
        kinds = [kind for (kind,) in db.execute("SELECT kind FROM log ORDER BY id DESC")]
    assert kinds[0] == "log_restored"
