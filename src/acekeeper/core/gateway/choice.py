"""Which engine a player gets, when another one is asked for it, and when it is told that there is
none."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from acekeeper.core import maintenance
from acekeeper.core.actions import Action, Start, TakeBack
from acekeeper.core.fleet.actions import AskHost
from acekeeper.core.gateway import contents, hosts, readers
from acekeeper.core.gateway.actions import Fail, Open, SeeReaders, SendThere, Serve, Supersede
from acekeeper.core.gateway.hosts import Hosts
from acekeeper.core.gateway.model import Attempt, NotPlayed, Play, Reader
from acekeeper.core.gateway.readers import Unread
from acekeeper.core.model import ByGateway, Engine, Health, Now, Stream
from acekeeper.core.names import EVERYWHERE
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.core.supply import Supply

_SLOW_HOST = 4  # opens; while fewer are late, their engines are to blame


class Means(NamedTuple):
    """What players may get at one moment: what one of them takes is not there for the next."""

    supply: Supply
    unread: Unread
    hosts: Hosts


def players_waiting(state: State, rules: Rules, now: Now) -> frozenset[str]:
    """The plays that will take an engine when there is one."""
    waiting = (p for p in state.plays.values() if not (p.attempts or p.waits_for))
    here = (play for play in waiting if not hosts.is_asked(state, rules, play, now))
    alone = frozenset(play.id for play in here if session_for(state, play) is None)
    return alone - behind(state)


def steps(
    state: State,
    rules: Rules,
    means: Means,
    play: Play,
    *,
    is_behind: bool,
    now: Now,
) -> Iterator[Action | float]:
    """What is done for a player that is to get its first engine, or another one. An engine that is
    free elsewhere comes before one that has to start here, and that before one that starts
    there."""
    if play.there is not None:
        yield SendThere(play.id, play.there)
        return
    session = session_for(state, play)
    if session is not None:
        yield Serve(play.id, session.id)
        return
    failure = _failure(state, rules, play, now)
    if failure is not None:
        yield failure
        return
    yield play.until
    yield from means.hosts.again(play)
    if _outstanding(state, play):
        return
    if state.maintenance is not None:
        yield from _leave(state, means.hosts, play, maintenance.WORDS)
    elif not is_behind:
        yield from _find(state, rules, means, play, now)


def _find(
    state: State, rules: Rules, means: Means, play: Play, now: Now
) -> Iterator[Action | float]:
    supply = means.supply
    engine = supply.free_engine(partial(_fits, state, play))
    if engine is not None:
        if engine.drain is not None:
            yield TakeBack(*engine.ref)
        yield Open(*engine.ref, play.id)
    elif asks := [*means.hosts.asks(play, may_start=False)]:
        yield from asks
    elif play.refused or not play.may_start:
        if not hosts.awaited(state, play):
            yield _in_vain(play)
    elif not {play.wanted.arrival, EVERYWHERE}.intersection(rules.addresses):
        yield from _leave(state, means.hosts, play, f"ENGINE_HOST lacks {play.wanted.arrival}")
    elif (expected := supply.reserve_coming()) is not None:
        yield expected
    else:
        yield from _make_room(state, rules, means, play, now)


def _leave(state: State, others: Hosts, play: Play, why: str) -> Iterator[AskHost | Fail | float]:
    """It gets no engine here: one of another host, or none at all."""
    asks = [*others.asks(play, may_start=False)] or [*others.asks(play, may_start=True)]
    yield from asks
    if not asks and not hosts.awaited(state, play):
        yield _in_vain(play) if play.refused else Fail(play.id, NotPlayed.NO_ENGINE, why, 5)


def waits_on(state: State, means: Means, play: Play, now: Now) -> bool:
    """Whether there is nothing for it, as for one before it: no engine was asked for it so far, and
    it has no session in sight."""
    return (
        play.wanted.arrival in means.supply.spent
        and now.mono < play.until
        and play.may_start
        and not means.hosts.concern(play)
        and not (play.tried or play.waits_for or play.stream)
        and not (_may_share(play) and readers.is_played(state, play.wanted.content))
    )


def hedges(state: State, rules: Rules, supply: Supply, now: Now) -> Iterator[Action | float]:
    """Asks another engine beside one that is late: only one that nobody waits for, so this comes
    after the turns of all who wait."""
    if is_slow(state, rules, now):
        return
    for play in state.plays.values():
        attempts = _outstanding(state, play) if play.attempts else ()
        has_one = play.there or _own(state, play)
        if not attempts or has_one or len(play.tried) >= rules.engines_asked:
            continue
        due = max(attempt.at for attempt in attempts) + rules.gateway_hedge
        if now.mono < due:
            yield due
            continue
        engine = supply.free_engine(partial(_fits, state, play), lately_checked=True)
        if engine is not None:
            if engine.drain is not None:
                yield TakeBack(*engine.ref)
            yield Open(*engine.ref, play.id)


def behind(state: State) -> frozenset[str]:
    """The plays for which an earlier player waits: its session will be given to them as well. All
    at once, since a crowd may wait."""
    first: dict[object, str] = {}
    shared = set()
    for play in state.plays.values():
        session = contents.shared(state, play)
        if session and first.setdefault(session, play.id) != play.id:
            shared.add(play.id)
    return frozenset(shared)


def session_for(state: State, play: Play) -> Stream | None:
    """The session that was opened for it, or one that it shares: an HLS session serves any number
    of players; one opened with JSON is given to its proxy again until somebody asks for its
    picture, since the proxy may ask twice."""
    own = _own(state, play)
    if own is not None:
        return own
    wanted = play.wanted
    if state.maintenance is not None:  # it would keep that session from ending
        return None
    if not _may_share(play) or not readers.is_played(state, wanted.content):
        return None
    for stream, gateway, reader in readers.sessions_of(state, wanted.content):
        if (
            gateway.is_hls == wanted.is_hls
            and (wanted.is_hls or _may_be_asked_twice(play, gateway, reader))
            and stream.id != play.instead_of
            and (engine := state.current(stream.slot, stream.incarnation) if stream.slot else None)
            and engine.health is Health.HEALTHY
            and engine.is_at(wanted.arrival)
        ):
            return stream
    return None


def _may_share(play: Play) -> bool:
    return play.wanted.is_hls or play.wanted.as_json


def _own(state: State, play: Play) -> Stream | None:
    """The session that was opened for it, as long as that is there."""
    own = state.streams.get(play.stream)
    return own if own is not None and own.ended is None else None


def _may_be_asked_twice(play: Play, gateway: ByGateway, reader: Reader) -> bool:
    is_its = gateway.as_json and gateway.player == play.wanted.player
    return is_its and not reader.came and not play.instead_of


def _failure(state: State, rules: Rules, play: Play, now: Now) -> Fail | None:
    content = contents.canonical(state, play.wanted.content)
    known = state.refusals.get(content)
    is_known = known is not None and now.mono - known[0] < rules.blame_lasts
    if len(play.refused) > (0 if is_known else 1):
        return Fail(play.id, NotPlayed.REFUSED, play.refused[-1])
    may_come = _outstanding(state, play) or hosts.awaited(state, play)
    if now.mono < play.until and (may_come or len(play.tried) < rules.engines_asked):
        return None
    return _in_vain(play)


def _in_vain(play: Play) -> Fail:
    if play.refused:
        return Fail(play.id, NotPlayed.REFUSED, play.refused[-1])
    if play.tried:
        return Fail(play.id, NotPlayed.SILENT, "the engines that were asked did not answer", 5)
    return Fail(play.id, NotPlayed.NO_ENGINE, "no engine is free", 5)


def _outstanding(state: State, play: Play) -> list[Attempt]:
    """Engines that may still answer it."""
    return [attempt for attempt in play.attempts if state.current(*attempt.ref) is not None]


def _fits(state: State, play: Play, engine: Engine) -> bool:
    return (
        engine.ref not in play.tried
        and engine.is_at(play.wanted.arrival)
        and not contents.may_play(state, engine.ref, play.wanted.content)
    )


def _make_room(
    state: State, rules: Rules, means: Means, play: Play, now: Now
) -> Iterator[Action | float]:
    """Frees an engine, or starts one: none is free, and those that are ready soon are promised."""
    supply = means.supply
    freed = play.waits_for
    if freed is not None and freed.ref in state.holds:
        patience = freed.at + rules.gateway_hedge
        if now.mono < patience:
            yield patience
            return
    session = means.unread.take(lambda e: e.ref not in play.tried and e.is_at(play.wanted.arrival))
    if isinstance(session, Stream):
        yield Supersede(session.id, play.id)
        return
    yield from session
    may_be_asked = state.connected and state.listed  # the runtime, to start one
    verdict = supply.may_start() if may_be_asked else None
    if isinstance(verdict, float):
        supply.wait_for_start()
        yield verdict
    elif verdict is None and may_be_asked and (slot := supply.start()) is not None:
        yield Start(slot)
    else:
        # One that is late goes to no younger request of the API.
        if supply.late_engine() is None and not (play.tried or supply.has_engines()):
            supply.spent.add(play.wanted.arrival)
        if SeeReaders() not in session:  # which may find one that can be freed
            yield from means.hosts.asks(play, may_start=True)


def is_late(since: float, rules: Rules, now: Now) -> bool:
    return now.mono - since >= rules.gateway_hedge


def is_slow(state: State, rules: Rules, now: Now) -> bool:
    """More than half of the opens that players wait for are late, and they are many: the host is
    slow, not an engine."""
    attempts = [attempt for play in state.plays.values() for attempt in play.attempts]
    late = sum(is_late(attempt.at, rules, now) for attempt in attempts)
    return late >= _SLOW_HOST and late * 2 > len(attempts)
