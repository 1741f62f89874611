"""A backup: an archive of the settings file and of the database, with a manifest that comes first
and says what the others must be."""

import hashlib
import io
import itertools
import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from acekeeper import __version__
from acekeeper.adapters.database import (
    connect,
    connect_to_read,
    failure,
    move_aside,
    newest_log_id,
    read,
    require_sound,
)
from acekeeper.adapters.wal import beside
from acekeeper.errors import BadBackup, StoreFailed

MANIFEST, DATABASE, SETTINGS = "manifest.json", "acekeeper.db", "settings.env"
_FORMAT = 1
_MOST = {MANIFEST: 64 << 10, SETTINGS: 1 << 20}  # bytes; a database may have what the disk has
_LEFT = 64 << 20  # bytes of the disk that stay for the service
_AT_ONCE = 1 << 20


class Member(Struct, frozen=True):
    size: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    format: int
    version: str  # of the acekeeper that wrote it
    schema: int  # of the database
    at: str
    members: Mapping[str, Member]


class Kept(Struct, frozen=True):
    """What a database has, to be told."""

    entries: int
    newest: float | None  # wall time
    is_in_maintenance: bool


def write(out: BinaryIO, database: Path, settings_file: Path | None, scratch: Path) -> Manifest:
    """The database as it is at one moment, with all that was acknowledged before this was called.
    Its writer is not held up meanwhile. `scratch` is a directory of the same owner."""
    copy = scratch / DATABASE
    schema = _copy(database, copy)
    files = {DATABASE: copy}
    if settings_file is not None:
        files[SETTINGS] = scratch / SETTINGS
        shutil.copyfile(settings_file, files[SETTINGS])
    manifest = Manifest(
        format=_FORMAT,
        version=__version__,
        schema=schema,
        at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        members={name: _member(path) for name, path in files.items()},
    )
    with tarfile.open(fileobj=out, mode="w|gz", format=tarfile.PAX_FORMAT) as archive:
        body = msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"
        archive.addfile(_entry(MANIFEST, len(body)), io.BytesIO(body))
        for name, path in files.items():
            with path.open("rb") as file:
                archive.addfile(_entry(name, manifest.members[name].size), file)
    return manifest


def _copy(database: Path, copy: Path) -> int:
    """The version of its shape. One step, so that no write makes it begin anew."""
    if not database.is_file():
        raise StoreFailed(f"there is no database {database}", "Has the service ever run here?")
    _require_room(copy.parent, database.stat().st_size)
    os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        with closing(connect_to_read(database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")  # one file is all of it
            require_sound(target)  # no other can be restored
            (schema,) = target.execute("PRAGMA user_version").fetchone()
    except (sqlite3.Error, OSError) as error:
        raise failure(error, database) from error
    return int(schema)


def _require_room(directory: Path, size: int) -> None:
    if shutil.disk_usage(directory).free < size + _LEFT:
        raise StoreFailed(f"{directory} has no room for {size} bytes more", "Free some")


def _member(path: Path) -> Member:
    with path.open("rb") as file:
        return Member(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, time.time()
    return entry


def unpack(source: BinaryIO, scratch: Path) -> Manifest:
    """Puts its files into `scratch`, an empty directory, and nothing anywhere else. BadBackup if
    they are not what the manifest says."""
    try:
        with tarfile.open(fileobj=source, mode="r|gz") as archive:
            files = _files(archive)
            manifest = _manifest(*next(files, ("", 0, None)))
            for name, size, file in files:
                _unpack(manifest, name, size, file, scratch)
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StoreFailed(f"{scratch.parent} takes no files: {error.strerror}") from error
        raise BadBackup(f"it is no whole archive ({error})") from error
    for name in manifest.members:
        if not (scratch / name).exists():
            raise BadBackup(f"{name} is not in it")
    return manifest


def _files(archive: tarfile.TarFile) -> Iterator[tuple[str, int, BinaryIO | None]]:
    for entry in archive:
        file = archive.extractfile(entry) if entry.isreg() else None
        yield entry.name, entry.size, file  # type: ignore[misc]


def _manifest(name: str, size: int, file: BinaryIO | None) -> Manifest:
    if name != MANIFEST or file is None or not 0 <= size <= _MOST[MANIFEST]:
        raise BadBackup(f"it does not begin with {MANIFEST}")
    try:
        manifest = msgspec.json.decode(file.read(size), type=Manifest)
    except msgspec.DecodeError as error:
        raise BadBackup(f"{MANIFEST} cannot be read ({error})") from error
    if manifest.format != _FORMAT:
        raise BadBackup(f"it is of format {manifest.format}", "Use the version that wrote it")
    if not {DATABASE} <= manifest.members.keys() <= {DATABASE, SETTINGS}:
        raise BadBackup(f"{MANIFEST} names {', '.join(sorted(manifest.members))}")
    return manifest


def _unpack(manifest: Manifest, name: str, size: int, file: BinaryIO | None, scratch: Path) -> None:
    member = manifest.members.get(name)
    if member is None or file is None or (scratch / name).exists():
        raise BadBackup(f"{name!r} is not what {MANIFEST} says")
    if size != member.size or size > _MOST.get(name, size):
        raise BadBackup(f"{name} is {size} bytes long")
    _require_room(scratch, size)
    digest = hashlib.sha256()
    descriptor = os.open(scratch / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        while data := file.read(_AT_ONCE):
            digest.update(data)
            out.write(data)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != member.sha256:
        raise BadBackup(f"{name} is damaged: its sha256 is another one")


def prepare(database: Path) -> Kept:
    """Brings it to this version's shape, and says what it has. Readers of the log go on from the
    last id they saw, so the next one is higher than any before."""
    try:
        with closing(connect(database)) as db:
            (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise BadBackup(f"{DATABASE} is corrupt: {found.splitlines()[-1]}")
            in_it: dict[str, str] = dict(read(db).kept)
            entries, newest = db.execute("SELECT count(*), max(ts) FROM log").fetchone()
            now = time.time()
            db.execute(
                "INSERT INTO log (id, ts, kind, stream, data)"
                " VALUES (?, ?, 'log_restored', '', '{}')",
                (max(int(now * 1000), newest_log_id(db) + 1), now),
            )
            is_in_maintenance = bool(float(in_it.get("maintenance", 0)))
    except (sqlite3.Error, ValueError) as error:
        raise BadBackup(f"{DATABASE} cannot be used ({error})") from error
    return Kept(entries, newest, is_in_maintenance)


def swap(new: Path, database: Path) -> Path | None:
    """While nobody has it open. Where the one before is now, if there was one. Whatever ends this
    halfway, one of the two has the name."""
    try:
        aside = _set_aside(database) if database.exists() else None
        new.rename(database)
        directory = os.open(database.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StoreFailed(f"{database} cannot be replaced: {error.strerror}") from error
    return aside


def _set_aside(database: Path) -> Path:
    """Under a name of its own; it keeps the other one too, unless it cannot be used."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    names = (f"replaced-{stamp}{f'-{n}' if n else ''}" for n in itertools.count())
    aside = next(a for name in names if not (a := beside(database, f".{name}")).exists())
    with suppress(sqlite3.Error), closing(sqlite3.connect(database, timeout=0)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what a killed service left in its log
    wal = beside(database, "-wal")
    if wal.exists() and wal.stat().st_size:
        return move_aside(database, aside.name.removeprefix(f"{database.name}."))
    aside.hardlink_to(database)
    for suffix in ("-wal", "-shm"):
        beside(database, suffix).unlink(missing_ok=True)
    return aside
