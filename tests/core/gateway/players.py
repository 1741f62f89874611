"""Players of the gateway at a world of engines that open, refuse, hang and stop as told.

What plays on an engine is known to the engine: the id of every session there is among its
`streams`, as that of any stream.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from acekeeper.core.actions import Action, Try
from acekeeper.core.doubt import Content
from acekeeper.core.facts import Fact
from acekeeper.core.gateway import plays as core_plays
from acekeeper.core.gateway.actions import Fail, Open, SeeReaders, Serve, StopSession, Supersede
from acekeeper.core.gateway.facts import (
    PlayOpened,
    PlayRefused,
    PlayRequested,
    PlaySilent,
    ReaderCame,
    ReaderSent,
    ReadersSeen,
    SessionNotStopped,
    SessionStopped,
)
from acekeeper.core.gateway.model import Hold, Ref, Wanted
from acekeeper.core.model import KeyType, Opening, Stream
from acekeeper.core.names import HERE, Slot
from acekeeper.core.rules import Rules

from ..world import RULES, Outside, World, rules, slot
from .invariants import check, infohash, may_open, may_serve, plays

LOST = "lost"  # the session is open, and its answer does not arrive


def channel(n: int) -> Content:
    """By its infohash."""
    return Content(KeyType.INFOHASH.value, f"{n:040x}")


@dataclass(slots=True)
class Manners:
    """How an engine treats what it is asked from now on."""

    opens_after: float = 0.2  # inf: never
    answers: str = "opened"  # or "refused", "broken", LOST
    stops_after: float = 0.05
    stops: bool = True


class Players(World):
    """Mixed into any world, so that a pool that is killed can have players as well."""

    def __init__(self, rules: Rules = RULES) -> None:
        super().__init__(rules)
        self.manners = Manners()
        self.own_manners: dict[Slot, Manners] = {}  # of those that have others
        self.opening: dict[Ref, dict[str, str]] = {}  # what engines still open: infohashes
        self.served: dict[str, Stream] = {}
        self.failed: dict[str, Fail] = {}

    # What a test says.

    def at(self, n: int) -> Manners:
        """Of one engine, to be changed."""
        return self.own_manners.setdefault(slot(n), Manners())

    def ask(
        self,
        name: str,
        content: Content | int = 1,
        *,
        player: str = "192.0.2.1",
        json: bool = False,
        hls: bool = False,
        arrival: str = HERE,
        within: float = 25.0,
        instead_of: str = "",
    ) -> None:
        wanted = Wanted(
            content=channel(content) if isinstance(content, int) else content,
            is_hls=hls,
            as_json=json,
            player=player,
            arrival=arrival,
        )
        self.tell(PlayRequested(name, wanted, self.now, within, instead_of))

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """What is told meanwhile comes in one turn: it is planned for together."""
        self.tell, tell = self._apply, self.tell  # type: ignore[assignment, method-assign]
        yield
        self.tell = tell  # type: ignore[method-assign]
        self._plan()

    def play(
        self, where: Slot, name: str = "s", *, moving: bool = True, key: str = "0" * 40
    ) -> None:
        """By a client of the API: it cuts a player's session of the same content."""
        engine = self.outside[where]
        for session in [s for s in engine.streams if s.startswith(f"{key}|")]:
            del engine.streams[session]
        super().play(where, name, moving=moving, key=key)

    def picture(self, name: str) -> None:
        """The player comes for its picture, and gets it."""
        self.tell(ReaderCame(self.served[name].id))
        self._sent(self.served[name].id)

    def come(self, stream: str) -> None:
        """A player asks for the picture, gets it soon, and stays."""
        self.tell(ReaderCame(stream))
        self.later(0.3, lambda: self._sent(stream))

    def _sent(self, stream: str) -> None:
        here = self.state.streams.get(stream)
        if here is None or here.ended is not None or here.slot is None:
            return
        engine = self._outside((here.slot, here.incarnation))
        if engine is not None and stream in engine.streams:
            engine.callers.add(stream)
        self.tell(ReaderSent(stream))

    def go(self, stream: str) -> None:
        for engine in self.outside.values():
            engine.callers.discard(stream)

    def hang_up(self, name: str) -> None:
        self.go(self.served[name].id)

    def sessions(self, n: int) -> list[str]:
        """What the engine has open for players."""
        return [session for session in self.outside[slot(n)].streams if "|" in session]

    def opened(self) -> list[Open]:
        return [action for action in self.taken if isinstance(action, Open)]

    def asked(self, name: str) -> list[Ref]:
        """The engines that were asked for a play."""
        return [
            (action.slot, action.incarnation) for action in self.opened() if action.request == name
        ]

    def slots(self) -> list[int]:
        return [action.slot.port - 19000 for action in self.opened()]

    def reasons(self) -> dict[str, str]:
        return {i: self.state.streams[i].reason for i in self.state.ended}

    # What the loop does.

    def _take(self, action: Action) -> None:
        match action:
            case Open():
                may_open(self.state, self.rules, action)
            case Supersede(stream):
                assert not self._is_read(self.state.streams[stream]), "somebody looks at it"
            case Serve(request, stream):
                assert request not in self.failed.keys() | self.served.keys()
                self.served[request] = self.state.streams[stream]
                may_serve(self.state, self.state.plays[request], self.served[request])
            case Try(where, _, wanted):
                engine = self.state.engines[where]
                assert not plays(self.state, engine, wanted), "the try cuts a session"
            case Fail(request):
                assert request not in self.failed.keys() | self.served.keys()
                self.failed[request] = action
            case _:
                pass
        moved = self._moved_from(action)
        super()._take(action)
        if moved is not None and isinstance(action, Serve):
            self._may_call(moved, self.state.streams[action.stream])
        match action:
            case Open(where, incarnation, request):
                asked = self.asked(request)
                assert len(asked) == len(set(asked)) <= self.rules.engines_asked
                self._open(request, (where, incarnation))
            case StopSession(where, incarnation, hold):
                self._stop_session((where, incarnation), hold)
            case SeeReaders():
                read = {e.slot: e.incarnation for e in self.outside.values() if e.callers}
                seen = ReadersSeen(self.now, frozenset(read.items()))
                self.later(0.01, lambda: self.tell(seen))
            case _:
                pass

    def _plan(self) -> None:
        super()._plan()
        check(self.state, self.rules, self.now.mono)
        self._every_session_is_known()

    def _moved_from(self, action: Action) -> Stream | None:
        play = self.state.plays.get(action.request) if isinstance(action, Serve) else None
        return self.state.streams.get(play.instead_of) if play else None

    def _may_call(self, old: Stream, new: Stream) -> None:
        """By each token of the session from which a player was moved, it has the new one."""
        is_full = len(new.tokens) > core_plays._TOKENS_KEPT
        assert is_full or all(self.state.tokens[token] == new.id for token in old.tokens)

    def _every_session_is_known(self) -> None:
        """Whatever an engine plays, we shall stop: it is a stream, or held."""
        for engine in self.outside.values():
            ref = engine.slot, engine.incarnation
            if self.state.current(*ref) is None:
                continue
            streams = {s.id for s in self.state.started_on(engine.slot)}
            held = self.state.holds.get(ref, ())
            for session in (s for s in engine.streams if "|" in s):
                name, token = session.split("|")
                assert session in streams or any(
                    token == hold.token or (not hold.token and infohash(hold.content) == name)
                    for hold in held
                ), f"{session} plays on {ref}, and nobody knows"

    def _is_read(self, stream: Stream) -> bool:
        engine = self._outside((stream.slot, stream.incarnation)) if stream.slot else None
        return engine is not None and stream.id in engine.callers

    # What the engines do.

    def _manners(self, where: Slot) -> Manners:
        return replace(self.own_manners.get(where, self.manners))

    def _open(self, request: str, ref: Ref) -> None:
        wanted, manners = self.state.plays[request].wanted.content, self._manners(ref[0])
        token = f"t{next(self._numbers)}"
        self.opening.setdefault(ref, {})[token] = infohash(wanted)
        knows = self._knows(infohash(wanted))
        answers_after = min(manners.opens_after, self.rules.open_lasts)
        if manners.opens_after < math.inf:
            self.later(manners.opens_after, lambda: self._opened(ref, token, manners, knows))
        self.later(answers_after, lambda: self.tell(self._answer(request, ref, token, manners)))

    def _opened(self, ref: Ref, token: str, manners: Manners, knows: bool) -> None:
        engine = self._outside(ref)
        name = self.opening[ref].pop(token, "")
        if engine is None or engine.hung or not name or manners.answers in ("refused", "broken"):
            return
        cut = [s for s in engine.streams if s.startswith(f"{name}|")]
        for session in cut:
            stream = self.state.streams.get(session)
            assert not knows or stream is None or stream.ended is not None, "a session was cut"
            del engine.streams[session]
        engine.streams[f"{name}|{token}"] = True

    def _answer(self, request: str, ref: Ref, token: str, manners: Manners) -> Fact:
        engine = self._outside(ref)
        if engine is None or manners.answers in ("broken", LOST):
            return PlaySilent(*ref, request, "broke off", broken=True)
        if manners.answers == "refused" and not engine.hung:
            return PlayRefused(*ref, request, "failed to load content")
        session = next((s for s in engine.streams if s.endswith(f"|{token}")), "")
        if not session:
            return PlaySilent(*ref, request, "no answer")
        opening = Opening(session.split("|")[0], token, f"session-{token}", is_live=True)
        return PlayOpened(*ref, request, opening)

    def _stop_session(self, ref: Ref, hold: Hold) -> None:
        """It stops whatever plays of the content there."""
        engine, manners = self._outside(ref), self._manners(ref[0])
        if engine is None or engine.hung or not manners.stops:
            silent = SessionNotStopped(*ref, hold, "no answer")
            self.later(manners.stops_after, lambda: self.tell(silent))
            return
        name = hold.infohash or infohash(hold.content)
        opening = self.opening.get(ref, {})
        for token in [t for t, other in opening.items() if other == name]:
            del opening[token]
        knows = self._knows(name)
        for session in [s for s in engine.streams if s.startswith(f"{name}|")]:
            stream = self.state.streams.get(session)
            is_new = stream is not None and stream.ended is None
            assert not (knows and is_new), "a late stop ended a new session"
            del engine.streams[session]
        stopped = SessionStopped(*ref, hold)
        self.later(manners.stops_after, lambda: self.tell(stopped))

    def _knows(self, name: str) -> bool:
        """Whether an engine has told which content id is this infohash."""
        content_id = Content(KeyType.CONTENT_ID.value, f"{int(name, 16) | 1:040x}")
        return content_id in self.state.infohashes

    def _outside(self, ref: Ref) -> Outside | None:
        engine = self.outside.get(ref[0])
        return engine if engine is not None and engine.incarnation == ref[1] else None


def players(engines: int, **numbers: object) -> Players:
    """So many engines that are ready; none is started beside them, unless `numbers` say so."""
    numbers = {"min_replicas": 0, "auto_delete": False, "max_replicas": max(1, engines), **numbers}
    world = Players(rules(min_provision_interval=0.0, **numbers))
    for n in range(engines):
        name = f"found-{n}"
        world.outside[slot(n)] = Outside(slot(n), name, f"id-{name}", 0.0)
    world.connect(world.running())
    world.run(20)
    assert world.listed() == list(range(engines))
    world.taken.clear()
    world.happened.clear()
    return world
