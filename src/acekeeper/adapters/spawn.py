"""A process from its command line: its surroundings, its log; and an engine's, with its ports."""

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import BinaryIO

from loguru import logger

from acekeeper.adapters.engine_logs import begin, log_file
from acekeeper.adapters.threads import within
from acekeeper.core.names import Ports, Slot
from acekeeper.errors import EngineFailed

_SECRETS = frozenset({"API_KEY", "API_KEY_PREVIOUS", "API_KEY_READ", "VPN_API_KEY"})
_DISK_WITHIN = 1.0
_SUPERVISION = ("NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_")  # between systemd and us


def spawn(
    command: tuple[str, ...],
    slot: Slot,
    ports: Ports,
    addresses: tuple[str, ...],
    directory: Path,
    mark: dict[str, str],
) -> int:
    """Its pid. It leads a session and runs in `directory`, where its log is too."""
    places: dict[str, object] = {f"{n}_port": port for n, port in ports._asdict().items()}
    places["addresses"] = ",".join(addresses)
    words = [word.format_map(places) for word in command]
    try:
        return launch(words, log_file(directory, slot), directory, mark)
    except EngineFailed as error:
        raise EngineFailed(error.message, "Set ENGINE_COMMAND") from error


def launch(words: list[str], log_path: Path, directory: Path, variables: dict[str, str]) -> int:
    """The pid of a process that leads a session: `variables` are added to those of ours that are
    no secrets."""
    # Looked up from here: a relative path means our directory, not the process's.
    program = shutil.which(words[0])
    if program is None:
        raise EngineFailed(f"The program {words[0]!r} is missing or not executable")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in _SECRETS and not name.startswith(_SUPERVISION)
    }
    try:
        with _log(log_path) as log:
            child = subprocess.Popen(  # noqa: S603 (the operator's command, and no shell)
                words,
                executable=Path(program).absolute(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=directory if directory.is_dir() else "/",
                env=environment | variables,
                start_new_session=True,
                umask=0o077,
            )
    except OSError as error:
        raise EngineFailed(f"{words[0]!r} cannot be run: {error}") from error
    child.returncode = 0  # who watches the pid reaps it; this object is not to mind
    return child.pid


def _log(path: Path) -> BinaryIO:
    """A fresh one; where none can be written (a full disk, say) viewers get their engine still."""
    try:
        return within(_DISK_WITHIN, partial(_fresh, path))
    except OSError as error:
        why = error.strerror or f"the disk took no file within {_DISK_WITHIN:g} s"
        logger.warning("engine_log_lost", path=path, why=why)
        return Path(os.devnull).open("ab")


def _fresh(path: Path) -> BinaryIO:
    begin(path)
    return path.open("ab")
