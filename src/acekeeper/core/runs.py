"""The runs of the service: each is told how the last one ended, and which settings differ."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, assert_never

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from acekeeper.core.state import State


class Run(Struct, frozen=True):
    """What the next run wants to know of this one. `settings`: a digest of each, made with `salt`,
    so that no value of one is stored."""

    version: str
    boot: str
    salt: str
    settings: Mapping[str, str]
    ended: bool = False  # as it was asked to


class ServiceStarted(Struct, frozen=True):
    run: Run


class ServiceStopped(Struct, frozen=True):
    """It was asked to, and came to its end."""


RunFact = ServiceStarted | ServiceStopped


def told(state: "State", fact: RunFact) -> None:
    match fact:
        case ServiceStarted(run):
            last = state.run
            state.tell(
                "service_started",
                version=run.version,
                before=last.version if last and last.version != run.version else None,
                last_end=_end(last, run),
            )
            if last and (changed := _changed(last.settings, run.settings)):
                state.tell("settings_changed", names=changed)
            state.run = state.changes.run = run
        case ServiceStopped():
            state.tell("service_stopped")
            if state.run is not None:
                state.run = state.changes.run = replace(state.run, ended=True)
        case _:
            assert_never(fact)


def _end(last: Run | None, run: Run) -> str | None:
    if last is None:
        return None
    if last.ended:
        return "stopped"
    return "killed" if last.boot == run.boot else "host_went_down"


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Not what only one of two versions has."""
    return sorted(name for name in before.keys() & now.keys() if before[name] != now[name])
