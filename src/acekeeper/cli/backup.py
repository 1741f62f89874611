"""`backup` and `restore`: settings and database, as one archive."""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from acekeeper.cli import ending
from acekeeper.cli.commands import Commands
from acekeeper.cli.reading import name_of, opened
from acekeeper.errors import AcekeeperError, BadBackup, OutputFailed

if TYPE_CHECKING:
    from acekeeper.settings import Settings

_SERVICE = "acekeeper.service"
_UNITS = ("acekeeper.socket", "acekeeper-gateway.socket", _SERVICE)


def add(commands: Commands) -> None:
    text = "write the settings file and the database into one archive, while the service runs"
    parser = commands.add("backup", _backup, text)
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        default="-",
        help="where; without it, standard output. It has the keys in it: mode 0600",
    )
    text = "put the database of a backup in the place of the one that is there"
    more = "the service is stopped for that and started again, no engine is"
    parser = commands.add("restore", _restore, text, more)
    parser.add_argument("file", metavar="FILE", help="an archive of `backup`; - is standard input")
    parser.add_argument(
        "--settings",
        action="store_true",
        help="print the settings file that is in it, and change nothing",
    )


def _backup(arguments: argparse.Namespace) -> int:
    from acekeeper.adapters.backup import write
    from acekeeper.settings import load

    ending.in_order()
    settings = load(os.environ)
    database = settings.state_dir / "acekeeper.db"
    with _scratch(settings.state_dir) as scratch, _output(arguments.file) as out:
        manifest = write(out, database, settings.settings_file, scratch)
    sizes = ", ".join(f"{name} {member.size} bytes" for name, member in manifest.members.items())
    print(f"backed up: {sizes}", file=sys.stderr)
    return 0


@contextmanager
def _output(name: str) -> Iterator[BinaryIO]:
    """A file gets its name when it is whole."""
    if name == "-":
        if sys.stdout is None:
            raise AcekeeperError("there is no standard output", "Name a file")
        if sys.stdout.isatty():
            raise AcekeeperError("an archive is nothing for a terminal", "Name a file")
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFailed(f"standard output cannot be written: {error.strerror}") from None
        return
    path = Path(name)
    if path.exists() and not path.is_file():
        raise AcekeeperError(f"{path} is no file", "Name one, or none for standard output")
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.rename(path)
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def _scratch(state_dir: Path) -> Iterator[Path]:
    """Beside the database, of the same owner."""
    from tempfile import TemporaryDirectory

    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if state_dir.stat().st_uid != os.geteuid():
            raise AcekeeperError(f"{state_dir} is another user's", "Do this as that user")
        directory = TemporaryDirectory(prefix="backup-", dir=state_dir)
    except OSError as error:
        raise AcekeeperError(f"{state_dir} cannot be written: {error.strerror}") from None
    with directory as name:
        yield Path(name)


def _restore(arguments: argparse.Namespace) -> int:
    from acekeeper.adapters.backup import DATABASE, SETTINGS, prepare, swap, unpack
    from acekeeper.adapters.lock import hold
    from acekeeper.settings import load

    ending.in_order()
    settings = load(os.environ)
    with _scratch(settings.state_dir) as scratch:
        with opened(arguments.file) as source:
            manifest = unpack(source, scratch)
        saved = scratch / SETTINGS
        if arguments.settings:
            if not saved.exists():
                raise BadBackup(f"{name_of(arguments.file)} has no settings file in it")
            print(saved.read_text("utf-8", "replace"), end="")
            return 0
        kept = prepare(scratch / DATABASE)
        with _stopped(settings), hold(settings.state_dir):
            aside = swap(scratch / DATABASE, settings.state_dir / DATABASE)
        differing = _differing(saved, settings.settings_file)
    print(f"restored the backup of {manifest.at}: {kept.entries} entries of the log")
    if aside is not None:
        print(f"the database before it is {aside}")
    if kept.is_in_maintenance:
        print("it was in maintenance then, and is now: `acekeeper drain --undo` ends it")
    if differing:
        again = "- < FILE" if arguments.file == "-" else shlex.quote(arguments.file)
        print(
            f"settings that differ from those of the backup: {', '.join(differing)};"
            f" `acekeeper restore --settings {again}` prints all of them"
        )
    return 0


@contextmanager
def _stopped(settings: "Settings") -> Iterator[None]:
    """The service alone, with its sockets: a connection would start it. What ran runs again however
    this ends, a lost terminal too."""
    from acekeeper.doctor.finding import run

    if settings.runtime != "quadlet":  # who runs it there stops it; the lock tells
        yield
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    states = zip(_UNITS, run("systemctl", "--user", "is-active", *_UNITS).out.split(), strict=False)
    ran = [u for u, now in states if now == "active" or (u == _SERVICE and now != "inactive")]
    try:
        stop = run("systemctl", "--user", "stop", *_UNITS)
        if stop.failed:
            raise AcekeeperError(f"the service cannot be stopped: {stop.complaint}")
        yield
    finally:
        if ran:
            start = run("systemctl", "--user", "start", *ran)
            if start.failed:
                print(f"acekeeper: the service does not start: {start.complaint}", file=sys.stderr)


def _differing(saved: Path, in_force: Path | None) -> list[str]:
    """The names alone: values may be secrets."""
    if not saved.exists():
        return []
    before = set(saved.read_text("utf-8", "replace").splitlines())
    now = set(in_force.read_text("utf-8").splitlines()) if in_force else set()
    changed = (line.partition("=") for line in before ^ now if not line.startswith(("#", ";")))
    return sorted({name.strip() for name, equals, _ in changed if equals})
