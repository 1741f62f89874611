"""Processes as /proc shows them, told apart from whatever gets their number later."""

import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Process(NamedTuple):
    pid: int
    started: int  # clock ticks since the boot
    session: int


def boot_id() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def read(pid: int) -> Process | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name before it may hold anything, parentheses too.
    fields = stat.rpartition(")")[2].split()
    return Process(pid, started=int(fields[19]), session=int(fields[3]))


def start_of(process: Process, boot: str) -> str:
    """Names this start of it, and no other one ever."""
    return f"{process.pid}:{process.started}:{boot}"


def having(variable: str) -> Iterator[tuple[Process, str]]:
    """Our user's processes that were given this environment variable, and its value."""
    user = os.geteuid()
    for directory in _PROC.iterdir():
        if not directory.name.isdecimal():
            continue
        try:
            if directory.stat().st_uid != user:
                continue
            process = read(int(directory.name))
            value = _given(directory, variable)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if process is not None and value is not None:
            yield process, value


def given(process: Process, variable: str) -> str:
    """The value of an environment variable it was given, empty if it has ended."""
    try:
        return _given(_PROC / str(process.pid), variable) or ""
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


def _given(directory: Path, variable: str) -> str | None:
    name = f"{variable}=".encode()
    for assignment in (directory / "environ").read_bytes().split(b"\0"):
        if assignment.startswith(name):
            return os.fsdecode(assignment.removeprefix(name))
    return None


def hold(process: Process) -> int | None:
    """A pidfd of this very process, or None when it has ended."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError as error:
        # The last two: its number is a thread's by now.
        if error.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):
            return None
        raise
    try:
        # Read after the open: what has this number and start now is what the pidfd means.
        current = read(process.pid)
        alive = current is not None and current.started == process.started and not ended(pidfd)
    except BaseException:
        os.close(pidfd)
        raise
    if alive:
        return pidfd
    os.close(pidfd)
    return None


@contextmanager
def holding(processes: list[Process]) -> Iterator[list[int]]:
    """Pidfds of those that still run."""
    pidfds: list[int] = []
    try:
        for process in processes:
            pidfd = hold(process)
            if pidfd is not None:
                pidfds.append(pidfd)
        yield pidfds
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


def send(pidfd: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)


def end_all(find: Callable[[], list[Process]], term_within: float, kill_within: float) -> None:
    """Asks those that are found to end, and kills those that do not."""
    for number, limit in ((signal.SIGTERM, term_within), (signal.SIGKILL, kill_within)):
        deadline = time.monotonic() + limit
        with holding(find()) as pidfds:
            for pidfd in pidfds:
                send(pidfd, number)
            for pidfd in pidfds:
                ended(pidfd, max(0.0, deadline - time.monotonic()))


def reap(pidfd: int) -> tuple[str, str]:
    """How it ended, in a cause and a detail; only its parent is told."""
    try:
        end = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        end = None
    if end is None:
        return "gone", ""
    if end.si_code == os.CLD_EXITED:
        return "exited", f"code {end.si_status}"
    return "killed", signal_name(end.si_status)


def signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def ended(pidfd: int, within: float = 0.0) -> bool:
    """A zombie has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(within * 1000))
