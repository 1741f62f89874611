"""Players of the gateway at a world of engines that open, refuse, hang and stop as told.

What plays on an engine is known to the engine: the id of every session there is among its
`streams`, as that of any stream.
"""

import math
from dataclasses import dataclass, replace

from acekeeper.core.actions import Action, Try
from acekeeper.core.doubt import Content
from acekeeper.core.facts import Fact
from acekeeper.core.gateway.actions import (
    Fail,
    Open,
    SeeReaders,
    Serve,
    StopSession,
    Supersede,
)
from acekeeper.core.gateway.contents import canonical
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
from acekeeper.core.gateway.model import Hold, Play, Ref, Wanted
from acekeeper.core.model import Engine, KeyType, Opening, Rules, Stream
from acekeeper.core.names import HERE
from acekeeper.core.state import State
from acekeeper.core.supply import rested_at

from ..world import Outside, World

PLAYER = "192.0.2.1"
LOST = "lost"  # the session is open, and its answer does not arrive


def content(n: int) -> Content:
    """Each infohash has a content id as well."""
    kind = KeyType.CONTENT_ID if n % 2 else KeyType.INFOHASH
    return Content(kind.value, f"{n:040x}")


def infohash(wanted: Content) -> str:
    """As the engines know it."""
    number = int(wanted.key, 16)
    return f"{number - number % 2:040x}"


def wants(n: int, form: str = "", player: str = PLAYER) -> Wanted:
    return Wanted(
        content=content(n),
        is_hls=form == "hls",
        as_json=form == "json",
        player=player,
        arrival=HERE,
    )


@dataclass(slots=True)
class Manners:
    """How engines treat what they are asked from now on."""

    opens_after: float = 0.2  # inf: never
    answers: str = "opened"  # or "refused", "broken", LOST
    stops_after: float = 0.1
    stops: bool = True


class Players(World):
    """Mixed into any world, so that a pool that is killed can have players as well."""

    def begin(self) -> None:
        self.manners = Manners()
        self.opening: dict[Ref, dict[str, str]] = {}  # what engines still open: infohashes
        self.served: dict[str, str] = {}  # the streams of requests
        self.failed: dict[str, Fail] = {}
        self.asked: dict[str, list[Ref]] = {}
        self.known: set[str] = set()  # the content ids of which an engine told

    # What the loop does.

    def _take(self, action: Action) -> None:
        match action:
            case Open():
                self._may_open(action)
            case Supersede(stream):
                assert not self._is_read(self.state.streams[stream]), "somebody looks at it"
            case Serve(request, stream):
                self._may_serve(request, self.state.streams[stream])
                self.served[request] = stream
            case Try(slot, _, wanted):
                engine = self.state.engines[slot]
                assert not _plays(self.state, engine, wanted), "the try cuts a session"
            case Fail(request):
                assert request not in self.failed.keys() | self.served.keys()
                self.failed[request] = action
            case _:
                pass
        moved = self._moved(action)
        super()._take(action)
        assert all(self.state.tokens[token] == self.served[name] for name, token in moved)
        match action:
            case Open(request, slot, start):
                self._open(request, (slot, start), replace(self.manners))
            case StopSession(slot, start, hold):
                self._stop_session((slot, start), hold, replace(self.manners))
            case SeeReaders():
                read = {e.slot: e.start for e in self.outside.values() if e.callers}
                seen = ReadersSeen(self.now, frozenset(read.items()))
                self.later(0.01, lambda: self.tell(seen))
            case _:
                pass

    def _plan(self) -> None:
        super()._plan()
        check(self.state, self.rules, self.now.mono)
        self._every_session_is_known()

    # What must hold.

    def _may_open(self, action: Open) -> None:
        state, play = self.state, self.state.plays[action.request]
        engine = state.current(action.slot, action.start)
        assert engine is not None
        assert state.is_free(engine, self.rules)
        assert not _plays(state, engine, play.wanted.content), "the second session cuts the first"
        asked = self.asked.setdefault(play.id, [])
        asked.append(engine.ref)
        assert len(asked) == len(set(asked)) <= self.rules.engines_asked

    def _may_serve(self, request: str, stream: Stream) -> None:
        assert request not in self.failed.keys() | self.served.keys()
        play = self.state.plays[request]
        assert stream.ended is None
        assert stream.gateway is not None
        assert stream.slot is not None
        assert self.state.current(stream.slot, stream.start) is not None
        assert stream.gateway.is_hls == play.wanted.is_hls
        assert infohash(Content(stream.key_type.value, stream.key)) == infohash(play.wanted.content)

    def _moved(self, action: Action) -> list[tuple[str, str]]:
        """The tokens by which a player goes on to call what it was served."""
        play = self.state.plays.get(action.request) if isinstance(action, Serve) else None
        old = self.state.streams.get(play.instead_of) if play else None
        return [(play.id, token) for token in old.tokens] if play and old else []

    def _every_session_is_known(self) -> None:
        """Whatever an engine plays, we shall stop: it is a stream, or held."""
        for engine in self.outside.values():
            ref = engine.slot, engine.start
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
        engine = self.outside.get(stream.slot) if stream.slot else None
        return engine is not None and engine.start == stream.start and stream.id in engine.callers

    # What the engines do.

    def _open(self, request: str, ref: Ref, manners: Manners) -> None:
        wanted = self.state.plays[request].wanted.content
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
            return PlaySilent(request, *ref, "broke off", broken=True)
        if manners.answers == "refused" and not engine.hung:
            return PlayRefused(request, *ref, "no such content")
        session = next((s for s in engine.streams if s.endswith(f"|{token}")), "")
        if not session:
            return PlaySilent(request, *ref, "no answer")
        opening = Opening(session.split("|")[0], token, f"session-{token}", is_live=True)
        return PlayOpened(request, *ref, opening)

    def _stop_session(self, ref: Ref, hold: Hold, manners: Manners) -> None:
        """It stops whatever plays of the content there."""
        engine = self._outside(ref)
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
        return content(int(name, 16) | 1) in self.state.infohashes

    def _outside(self, ref: Ref) -> Outside | None:
        engine = self.outside.get(ref[0])
        return engine if engine is not None and engine.start == ref[1] else None

    # What a test says.

    def want(self, name: str, wanted: Wanted, within: float = 9, instead_of: str = "") -> None:
        self.tell(PlayRequested(name, wanted, self.now, within, instead_of))

    def come(self, stream: str, after: float = 0.3) -> None:
        """Its player asks for the picture, gets it, and stays."""
        self.tell(ReaderCame(stream))

        def sent() -> None:
            here = self.state.streams.get(stream)
            engine = self.outside.get(here.slot) if here and here.slot else None
            if here is None or here.ended is not None:
                return
            if engine is not None and engine.start == here.start and stream in engine.streams:
                engine.callers.add(stream)
            self.tell(ReaderSent(stream))

        self.later(after, sent)

    def go(self, stream: str) -> None:
        for engine in self.outside.values():
            engine.callers.discard(stream)


def check(state: State, rules: Rules, now: float) -> None:
    """After the plan has nothing more to do."""
    for engine in state.engines.values():
        taken = len(state.playing.get(engine.slot, ())) + len(state.holds.get(engine.ref, ()))
        promised = engine.claim is not None
        assert taken + promised <= rules.max_streams_per_engine
    for play in state.plays.values():
        assert play.until > now, "it waits, and nothing ends that"
        assert not play.stream
        for attempt in play.asked:
            held = state.holds.get(attempt.ref, ())
            assert state.current(*attempt.ref) is None or play.id in {h.opening for h in held}
    for play in _idle(state):
        for engine in state.engines.values():
            assert not (
                state.is_free(engine, rules)
                and rested_at(engine, rules) <= now
                and engine.ref not in play.tried
                and not _plays(state, engine, play.wanted.content)
            ), f"{play.id} waits beside a free engine"


def _idle(state: State) -> list[Play]:
    """Those for which no engine is asked, and that wait for nobody else's session."""
    plays = list(state.plays.values())
    return [
        play
        for n, play in enumerate(plays)
        if not any(state.current(*attempt.ref) for attempt in play.asked)
        and not any(infohash(p.wanted.content) == infohash(play.wanted.content) for p in plays[:n])
    ]


def _plays(state: State, engine: Engine, wanted: Content) -> bool:
    here = [Content(s.key_type.value, s.key) for s in state.started_on(engine.slot)]
    here += [hold.content for hold in state.holds.get(engine.ref, ())]
    return canonical(state, wanted) in {canonical(state, other) for other in here}
