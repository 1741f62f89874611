"""Our processes are known by a mark in their environment, which names our state directory and what
they are: there is no pid file that could be stale or missing."""

import signal
from pathlib import Path

from acekeeper.adapters import proc
from acekeeper.adapters.proc import Process
from acekeeper.errors import EngineFailed

_KILLED_WITHIN = 5.0


def mark(state_dir: Path, name: object) -> str:
    return f"{state_dir}:{name}"


def marked(variable: str, state_dir: Path) -> list[tuple[Process, str]]:
    """Those of this state directory, and their names."""
    found = [(process, *value.rpartition(":")) for process, value in proc.having(variable)]
    return [(process, name) for process, place, _, name in found if place == str(state_dir)]


def leaders(variable: str, state_dir: Path) -> list[tuple[Process, str]]:
    """Of their sessions; the eldest first."""
    found = [(p, name) for p, name in marked(variable, state_dir) if p.pid == p.session]
    return sorted(found, key=lambda one: (one[0].started, one[0].pid))


def signal_followers(variable: str, session: int, its_mark: str, number: signal.Signals) -> None:
    followers = [
        process
        for process, value in proc.having(variable)
        if value == its_mark and process.session == session != process.pid
    ]
    with proc.holding(followers) as pidfds:
        for pidfd in pidfds:
            proc.send(pidfd, number)


def end_marked(variable: str, state_dir: Path, term_within: float) -> set[str]:
    """Asks all of them to end, and kills those that do not; the names of all. Raises
    EngineFailed."""
    names: set[str] = set()

    def find() -> list[Process]:
        found = marked(variable, state_dir)
        names.update(name for _, name in found)
        return [process for process, _ in found]

    proc.end_all(find, term_within, _KILLED_WITHIN)
    if left := find():
        pids = ", ".join(str(process.pid) for process in left)
        raise EngineFailed(f"These processes do not end: {pids}")
    return names
