"""Which hosts there are: what they say is applied, a lease ends where they say nothing, and what
was missed is asked for."""

from collections.abc import Iterator
from itertools import takewhile
from typing import assert_never

from msgspec.structs import replace

from acekeeper.core.fleet.actions import Drop, Sync
from acekeeper.core.fleet.facts import (
    BeatHeard,
    ChangeHeard,
    FleetFact,
    LinkDown,
    LinkUp,
    SnapshotHeard,
)
from acekeeper.core.fleet.model import Digest, Fleet, Link, Position, Replica, Standing
from acekeeper.core.model import Now
from acekeeper.core.rules import Rules
from acekeeper.core.state import State

_LATE = 1.0  # seconds; what was said meanwhile may not be read yet


def told(state: State, rules: Rules, fact: FleetFact, now: Now) -> None:
    match fact:
        case LinkUp():
            _link_up(state, now)
        case LinkDown(why):
            _link_down(state, why, now)
        case BeatHeard() | ChangeHeard() | SnapshotHeard():
            if fact.host != rules.fleet_host:
                _heard(state, fact, now)
        case _:
            assert_never(fact)


def lapse(state: State, rules: Rules, now: Now) -> None:
    """A host that was not heard for a lease is lost. Where that may be our own fault, it is stale
    for a while first: our link is down, we come late to this, or most hosts are silent at once."""
    fleet = state.fleet
    if due := _due(fleet, rules, Standing.LIVE, now):
        is_late = now.mono - _ends(fleet, rules, due[0]) >= _LATE
        is_ours = not fleet.link.is_up or is_late or _are_most_silent(fleet, rules, now)
        for replica in due:
            _stand(state, replica, Standing.STALE if is_ours else Standing.LOST, now)
    for replica in _due(fleet, rules, Standing.STALE, now):
        _stand(state, replica, Standing.LOST, now)
    for replica in _due(fleet, rules, Standing.LOST, now):
        fleet.remove(replica)


def take(state: State, action: Sync | Drop, now: Now) -> None:
    match action:
        case Sync(host):
            state.fleet.put(replace(state.fleet.hosts[host], asked=now.mono))
        case Drop(host, request):
            del state.fleet.drops[host, request]
        case _:
            assert_never(action)


def steps(state: State, rules: Rules, now: Now) -> Iterator[Sync | Drop | float]:
    fleet = state.fleet
    for order in fleet.order.values():
        if (first := next(iter(order), None)) is not None:
            yield _ends(fleet, rules, fleet.hosts[first])
    if not fleet.link.is_up:
        return
    for host in fleet.lacking:
        asked = fleet.hosts[host].asked
        if asked is None or now.mono >= asked + rules.sync_again:
            asked = now.mono
            yield Sync(host)
        yield asked + rules.sync_again
    yield from (Drop(host, request) for host, request in fleet.drops)


def _link_up(state: State, now: Now) -> None:
    if not state.fleet.link.is_up:
        state.fleet.link = Link(is_up=True, since=now.wall, at=now.mono, why="")
        state.tell("fleet_link_up")
        state.changes.fleet = True


def _link_down(state: State, why: str, now: Now) -> None:
    """Told again and again while it stays down, perhaps for another reason."""
    link = state.fleet.link
    if link.since and not link.is_up:
        state.fleet.link = replace(link, why=why)
        return
    state.fleet.link = Link(since=now.wall, at=now.mono, why=why)
    state.tell("fleet_link_down", why=why)
    state.changes.fleet = True


def _heard(state: State, fact: BeatHeard | ChangeHeard | SnapshotHeard, now: Now) -> None:
    """Messages may be lost, doubled or late: the engines of a replica are always those that its
    host had at one position, and the next beat betrays that there is a later one."""
    before = state.fleet.hosts.get(fact.host)
    replica = _lively(state, fact, before, now)
    if _is_older(fact.at, replica.at):
        state.fleet.put(replica)
        return
    replica = replace(_followed(replica, fact), digest=fact.digest)
    state.fleet.put(replica)
    is_wanting = not replica.is_whole and replica.asked is None
    has_more = bool(state.plays) and before is not None and _has_more(before.digest, fact.digest)
    state.changes.fleet |= is_wanting or has_more


def _lively(
    state: State,
    fact: BeatHeard | ChangeHeard | SnapshotHeard,
    before: Replica | None,
    now: Now,
) -> Replica:
    """Its lease begins anew, and it is back if it was gone."""
    if before is not None and before.standing is Standing.LIVE:
        return replace(before, heard=now.mono)
    was, silent = (before.standing.value, now.mono - before.heard) if before else (None, 0.0)
    state.tell(
        "host_joined",
        host=fact.host,
        version=fact.digest.version,
        was=was,
        seconds=round(silent, 3) if was else None,
    )
    state.changes.fleet = True
    if before is None:
        return Replica(host=fact.host, digest=fact.digest, heard=now.mono, since=now.wall)
    return replace(before, heard=now.mono, since=now.wall, standing=Standing.LIVE)


def _followed(replica: Replica, fact: BeatHeard | ChangeHeard | SnapshotHeard) -> Replica:
    if isinstance(fact, SnapshotHeard):
        if replica.is_whole:
            return replica  # nobody asked for it any more; a later one would be asked for
        engines = {engine.id: engine for engine in fact.engines}
        return replace(replica, at=fact.at, engines=engines, is_whole=True, asked=None)
    if fact.at == replica.at:
        return replace(replica, is_whole=True, asked=None)
    if isinstance(fact, ChangeHeard) and fact.at == _next(replica.at):
        engines = {**replica.engines, **{engine.id: engine for engine in fact.up}}
        for gone in fact.gone:
            engines.pop(gone, None)
        return replace(replica, at=fact.at, engines=engines, is_whole=True, asked=None)
    return replace(replica, is_whole=False)


def _next(at: Position) -> Position:
    return Position(at.epoch, at.seq + 1)


def _is_older(at: Position, known: Position) -> bool:
    """Of the same run, and told before; of two runs nobody knows which one is the later."""
    return at.epoch == known.epoch and at.seq < known.seq


def _has_more(before: Digest, now: Digest) -> bool:
    """Whether something can be had there, where nothing could."""
    return bool((now.free and not before.free) or (now.room and not before.room))


def _stand(state: State, replica: Replica, standing: Standing, now: Now) -> None:
    """It is silent. What it had is out of the view once it is lost."""
    is_lost = standing is Standing.LOST
    silent = replace(replica, standing=standing, since=now.wall)
    if is_lost:
        silent = replace(silent, at=Position("", 0), engines={}, is_whole=False)
    state.fleet.put(silent)
    state.tell(
        "host_lost" if is_lost else "host_stale",
        host=replica.host,
        seconds=round(now.mono - replica.heard, 3),
    )
    state.changes.fleet = True


def _due(fleet: Fleet, rules: Rules, standing: Standing, now: Now) -> list[Replica]:
    """Those that do not stay as they are."""
    oldest = map(fleet.hosts.__getitem__, fleet.order[standing])
    return [*takewhile(lambda replica: _ends(fleet, rules, replica) <= now.mono, oldest)]


def _ends(fleet: Fleet, rules: Rules, replica: Replica) -> float:
    """When its standing ends, if it says nothing until then; later for one that was heard later."""
    match replica.standing:
        case Standing.LIVE:
            return _lease_begins(fleet, replica) + rules.lease
        case Standing.STALE:
            return replica.heard + rules.lease + rules.stale_lasts
        case Standing.LOST:
            return replica.heard + rules.lost_kept
        case _:
            assert_never(replica.standing)


def _lease_begins(fleet: Fleet, replica: Replica) -> float:
    """Anew when our link is up again: nobody is lost for what we could not hear."""
    return max(replica.heard, fleet.link.at) if fleet.link.is_up else replica.heard


def _are_most_silent(fleet: Fleet, rules: Rules, now: Now) -> bool:
    """Of all hosts with this one, which is there. Beats come once a second: in half a lease there
    were some."""
    there = [r for r in fleet.hosts.values() if r.standing is not Standing.LOST]
    since = now.mono - rules.lease / 2
    silent = sum(_lease_begins(fleet, replica) <= since for replica in there)
    return silent * 2 > len(there) + 1
