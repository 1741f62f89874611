"""What the plan wants done for players of the gateway."""

from asyncio import Future
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import assert_never

from msgspec import Struct

from acekeeper.core.facts import ConnectionsSeen, Fact
from acekeeper.core.gateway.actions import (
    Fail,
    GatewayAction,
    Open,
    SeeReaders,
    SendThere,
    Serve,
    StopSession,
    Supersede,
)
from acekeeper.core.gateway.facts import (
    PlayerLeft,
    PlayOpened,
    PlayRefused,
    PlaySilent,
    ReadersSeen,
    SessionNotStopped,
    SessionStopped,
)
from acekeeper.core.gateway.model import Elsewhere, Hold, NotPlayed, Wanted
from acekeeper.core.model import Stream
from acekeeper.core.names import HERE
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.errors import EngineInUse, EngineRefused, Failure, NoAnswer, RuntimeUnavailable
from acekeeper.usecases.defects import defect
from acekeeper.usecases.lag import Lag
from acekeeper.usecases.outcomes import Outcomes, once_kept
from acekeeper.usecases.protocols import Clock, EngineApi, Sessions

_OPENS_TO_STOP_WITHIN = 20.0


class Failed(Struct, frozen=True):
    """A player gets nothing; `words` and `eta` as in `Fail`."""

    why: NotPlayed
    words: str
    eta: int


Outcome = Stream | Elsewhere | Failed


class Gateway(Struct, frozen=True, kw_only=True):
    """`see` looks who is connected to the engines."""

    state: State
    rules: Rules
    clock: Clock
    lag: Lag
    engines: EngineApi
    sessions: Sessions
    see: Callable[[], Awaitable[ConnectionsSeen]]
    tell: Callable[[Fact], object]
    spawn: Callable[[Coroutine[object, object, None]], None]
    outcomes: Outcomes[Outcome]

    def take(self, action: GatewayAction, durable: Future[None]) -> None:
        """`durable` is done when what the action changed is on disk."""
        match action:
            case Open(request=request):
                wanted = self.state.plays[request].wanted
                once_kept(durable, lambda: self.spawn(self._open(action, wanted)))
            case Serve(request, stream):
                session = self.state.streams[stream]
                once_kept(durable, partial(self._serve, request, session))
            case SendThere(request, there):
                if not self.outcomes.resolve(request, there):
                    self.tell(PlayerLeft(request, host=there.host))
            case Fail(request, why, words, eta):
                self.outcomes.resolve(request, Failed(why, words, eta))
            case StopSession():
                self.spawn(self._stop(action))
            case SeeReaders():
                self.spawn(self.look())
            case Supersede():
                pass  # wholly in the state
            case _:
                assert_never(action)

    def _serve(self, request: str, session: Stream) -> None:
        if not self.outcomes.resolve(request, session):
            self.tell(PlayerLeft(request, session.id))

    async def look(self) -> None:
        """Tells which engines have readers."""
        try:
            seen = await self.see()
        except Exception as error:
            if not isinstance(error, RuntimeUnavailable):
                defect(error)
            at, everywhere = self.clock(), (e.ref for e in self.state.engines.values())
            self.tell(ReadersSeen(at, frozenset(everywhere)))  # nobody loses its session for that
        else:
            read = (ref for ref, callers in seen.callers.items() if callers)
            self.tell(ReadersSeen(seen.at, frozenset(read)))

    async def _open(self, action: Open, wanted: Wanted) -> None:
        """It goes on when its player is gone: only its answer says what is to be stopped."""
        asked = *action.ref, action.request
        began = self.clock()
        try:
            opening = await self.sessions.open(action.slot, wanted, self.rules.open_lasts)
            fact: Fact = PlayOpened(*asked, opening)
        except EngineRefused as error:
            fact = PlayRefused(*asked, error.message)
        except EngineInUse as error:
            fact = PlaySilent(*asked, str(error), broken=True, excused=True)
        except NoAnswer as error:
            broken, excused = error.failure is not Failure.TIMEOUT, self.lag.since(began)
            fact = PlaySilent(*asked, str(error), broken, excused)
        except Exception as error:
            defect(error)
            fact = PlaySilent(*asked, repr(error), broken=True, excused=True)
        self.tell(fact)

    async def _stop(self, action: StopSession) -> None:
        slot, hold = action.slot, action.hold
        infohash, token = hold.infohash, hold.token
        try:
            if not token:  # nobody knows what the engine made of an open that was given up
                opening = await self.sessions.open(slot, _as_held(hold), _OPENS_TO_STOP_WITHIN)
                infohash, token = opening.infohash, opening.token
            await self.engines.stop(slot, f"/ace/cmd/{infohash}/{token}")
            fact: Fact = SessionStopped(*action.ref, hold)
        except EngineRefused:
            fact = SessionStopped(*action.ref, hold)  # it plays no such content
        except (EngineInUse, NoAnswer) as error:
            fact = SessionNotStopped(*action.ref, hold, str(error))
        except Exception as error:
            defect(error)
            fact = SessionNotStopped(*action.ref, hold, repr(error))
        self.tell(fact)


def _as_held(hold: Hold) -> Wanted:
    """What a player on this host asks for that wants the same: in the form of a list, or not."""
    return Wanted(content=hold.content, is_hls=hold.is_hls, as_json=True, player=HERE, arrival=HERE)
