"""Which connections to a server are closed when there are too many, or too much waits for them."""

import resource
from typing import Protocol

from loguru import logger

_MOST = 2048
_PLAYERS_MOST = 512  # each that waits is looked at whenever the plan changes
_UNTAKEN_MOST = 16 * 1024 * 1024  # bytes of answers; what was taken of them is still held
_DESCRIPTORS = 16384  # as in acekeeper.service


class Caller(Protocol):
    def let_go(self) -> None: ...


class Crowd:
    """With one connection more than `most`, one that waits for its caller is closed: the oldest
    that has never sent a whole request, or else the one that has been idle for the longest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._new: dict[Caller, None] = {}
        self._idle: dict[Caller, None] = {}
        self._is_full = False
        self._slow: dict[Caller, int] = {}
        self._untaken = 0

    def enter(self, caller: Caller, connected: int) -> bool:
        """False: all others are being answered. `connected` counts this one."""
        if connected > self._most:
            if not self._is_full:
                logger.warning("connections_full", connected=self._most)
            self._is_full = True
            has_room = self._make_room()
        else:
            self._is_full = self._is_full and connected > self._most // 2
            has_room = True
        self._new[caller] = None
        return has_room

    def busy(self, caller: Caller) -> None:
        """All of a request is there."""
        self._new.pop(caller, None)
        self._idle.pop(caller, None)

    def idle(self, caller: Caller) -> None:
        self._new.pop(caller, None)
        self._idle[caller] = None

    def leave(self, caller: Caller) -> None:
        self._new.pop(caller, None)
        self._idle.pop(caller, None)
        self.took(caller)

    def slow(self, caller: Caller, size: int) -> None:
        """So many bytes for it wait here: it takes them slower than they come."""
        self.took(caller)
        self._slow[caller] = size
        self._untaken += size
        while self._untaken > _UNTAKEN_MOST and len(self._slow) > 1:
            slowest = next(iter(self._slow))
            self.took(slowest)
            slowest.let_go()

    def took(self, caller: Caller) -> None:
        self._untaken -= self._slow.pop(caller, 0)

    def _make_room(self) -> bool:
        for waiting in (self._new, self._idle):
            for caller in waiting:
                del waiting[caller]
                caller.let_go()
                return True
        return False


def most_callers() -> int:
    """A quarter of the descriptors is for the API's callers, a quarter for the gateway's players,
    and half for the engines and all else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, soft // 4)


def most_players() -> int:
    return min(_PLAYERS_MOST, most_callers())


def raise_descriptors() -> None:
    """A shell allows 1024, with leave to take more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
