"""Which other hosts may be asked to play what this one has no engine for at once."""

import math
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from heapq import nsmallest

from acekeeper.core.fleet.actions import AskHost
from acekeeper.core.fleet.model import Replica, Standing
from acekeeper.core.gateway import contents
from acekeeper.core.gateway.model import Asked, Play
from acekeeper.core.model import Now
from acekeeper.core.rules import Rules
from acekeeper.core.state import State


def have_room(state: State) -> bool:
    """Whether any of them has an engine for a player, or may start one."""
    fleet = state.fleet
    return fleet.link.is_up and any(_room(replica) > 0 for replica in fleet.hosts.values())


def awaited(state: State, play: Play) -> list[Asked]:
    """Those that may still answer it."""
    hosts = state.fleet.hosts
    there = (each for each in play.asked if each.host in hosts)
    return [each for each in there if hosts[each.host].standing is not Standing.LOST]


def sharing(state: State, play: Play) -> str | None:
    """The host to which a player was sent whose session it may share, also where that has nothing
    free."""
    host = state.fleet.sent.get(contents.shared(state, play))
    replica = state.fleet.hosts.get(host or "")
    return None if replica is None or replica.standing is Standing.LOST else host


def is_asked(state: State, rules: Rules, play: Play, now: Now) -> bool:
    """Whether it has a session elsewhere, or one may come before others are asked beside."""
    in_time = (now.mono < _due(state, rules, each) for each in awaited(state, play))
    return play.there is not None or any(in_time)


def _due(state: State, rules: Rules, asked: Asked) -> float:
    """When (monotonic) another one is asked beside it. A start takes as long there as here."""
    return asked.at + rules.host_answers + (state.typical_start if asked.may_start else 0.0)


def _free(replica: Replica) -> int:
    return 0 if replica.standing is Standing.LOST else replica.digest.free


def _room(replica: Replica) -> int:
    return 0 if replica.standing is Standing.LOST else replica.digest.free + replica.digest.room


class Hosts:
    """What one play asks for is not there for the next; the state itself does not change."""

    def __init__(self, state: State, rules: Rules, now: Now) -> None:
        self._state = state
        self._rules = rules
        self._now = now

    def concern(self, play: Play) -> bool:
        """Whether there may be something to ask, or to wait for. Cheap, as a crowd may wait."""
        if play.for_host or play.instead_of:
            return False
        if play.asked or play.there or self._with_room:
            return True
        return self._state.fleet.link.is_up and sharing(self._state, play) is not None

    def again(self, play: Play) -> Iterator[float]:
        """When one that was asked may be asked once more."""
        if tried := self._tried(play):
            yield min(each.at for each in tried) + self._rules.host_again

    def asks(self, play: Play, *, may_start: bool) -> Iterator[AskHost | float]:
        """Nothing, where none is left to be asked. Beside one that is late another one is asked;
        the first answer counts, whosever it is."""
        if not self.concern(play):
            return
        state, rules, now = self._state, self._rules, self._now
        alike = (each for each in awaited(state, play) if each.may_start == may_start)
        due = max((_due(state, rules, each) for each in alike), default=-math.inf)
        if now.mono < due:
            yield due
        elif (host := self._take(play, may_start=may_start)) is not None:
            yield AskHost(play.id, host, play.until - now.mono, may_start)

    def _take(self, play: Play, *, may_start: bool) -> str | None:
        tried = {each.host for each in self._tried(play) if each.may_start == may_start}
        if len(tried) >= self._rules.host_tries:
            return None
        left = self._with_room if may_start else self._with_free
        not_again = tried | {each.host for each in play.asked}
        shared = sharing(self._state, play)
        if shared is not None and not may_start and shared not in not_again:
            return shared
        host = self._best(play, left, [host for host in left if host not in not_again])
        if host is not None:
            for counts in (self._with_free, self._with_room):
                _less(counts, host)
        return host

    def _tried(self, play: Play) -> list[Asked]:
        now, again = self._now.mono, self._rules.host_again
        return [each for each in play.tried_hosts if each.at + again > now]

    def _best(self, play: Play, left: Counter[str], hosts: list[str]) -> str | None:
        """Of two by chance the one that has more: so not all hosts choose the same one at once.
        Players that may share a session all get the first of the two, which may have it."""
        wanted = play.wanted
        whose = "" if wanted.is_hls else wanted.player
        chance = f"{contents.canonical(self._state, wanted.content).key} {whose}"
        two = nsmallest(2, hosts, key=lambda host: sha256(f"{chance} {host}".encode()).digest())
        if wanted.is_hls or wanted.as_json:
            return next(iter(two), None)
        return max(two, key=left.__getitem__, default=None)

    @cached_property
    def _with_free(self) -> Counter[str]:
        return self._left({h: _free(replica) for h, replica in self._state.fleet.hosts.items()})

    @cached_property
    def _with_room(self) -> Counter[str]:
        return self._left({h: _room(replica) for h, replica in self._state.fleet.hosts.items()})

    def _left(self, counts: dict[str, int]) -> Counter[str]:
        """For whoever asks now: only those that have any. None hears us while the link is down."""
        is_up = self._state.fleet.link.is_up
        return +(Counter(counts) - self._asked) if is_up else Counter()

    @cached_property
    def _asked(self) -> Counter[str]:
        return Counter(each.host for play in self._state.plays.values() for each in play.asked)


def _less(counts: Counter[str], host: str) -> None:
    if counts[host] > 1:
        counts[host] -= 1
    else:
        counts.pop(host, None)
