"""The rules at work with players of the gateway, and engines that open, refuse or hang as told."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from acekeeper.core.actions import Action
from acekeeper.core.doubt import Content
from acekeeper.core.gateway.actions import Fail, Open, SeeReaders, Serve, StopSession
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
from acekeeper.core.gateway.model import Wanted
from acekeeper.core.model import Opening, Rules, Stream
from acekeeper.core.names import HERE, Slot

from ..world import RULES, Outside, World, rules, slot

Opens = Literal["opens", "refuses", "breaks", "hangs"]


def channel(n: int) -> Content:
    return Content("infohash", f"{n:040x}")


@dataclass(slots=True)
class Player:
    """How the engines on one port answer players."""

    opens: Opens = "opens"
    takes: float = 0.2
    stops: bool = True
    open: dict[str, Content] = field(default_factory=dict)  # sessions by token
    cut: list[Content] = field(default_factory=list)  # contents that a second session cut


class Gateway(World):
    def __init__(self, rules: Rules = RULES) -> None:
        super().__init__(rules)
        self.players: dict[Slot, Player] = {}
        self.served: dict[str, Stream] = {}
        self.failed: dict[str, Fail] = {}
        self.ended_at: dict[str, float] = {}

    def at(self, where: Slot) -> Player:
        return self.players.setdefault(where, Player())

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
        self.tell, tell = self._apply, self.tell  # type: ignore[method-assign]
        yield
        self.tell = tell  # type: ignore[method-assign]
        self._plan()

    def picture(self, name: str) -> None:
        """The player comes for its picture, and gets it."""
        stream = self.served[name]
        self.tell(ReaderCame(stream.id))
        self.tell(ReaderSent(stream.id))
        if stream.slot is not None:
            self.outside[stream.slot].callers.add(name)

    def hang_up(self, name: str) -> None:
        stream = self.served[name]
        if stream.slot in self.outside:
            self.outside[stream.slot].callers.discard(name)

    def opened(self) -> list[Open]:
        return [action for action in self.taken if isinstance(action, Open)]

    def slots(self) -> list[int]:
        return [action.slot.port - 19000 for action in self.opened()]

    def reasons(self) -> dict[str, str]:
        return {i: self.state.streams[i].reason for i in self.state.ended}

    def _take(self, action: Action) -> None:
        super()._take(action)
        match action:
            case Open():
                self._open(action)
            case Serve(request, stream):
                self.served[request] = self.state.streams[stream]
                self.ended_at[request] = self.time
            case Fail(request):
                self.failed[request] = action
                self.ended_at[request] = self.time
            case StopSession():
                self._stop(action)
            case SeeReaders():
                at = self.now
                read = {o.slot for o in self.outside.values() if o.callers}
                refs = frozenset(e.ref for s, e in self.state.engines.items() if s in read)
                self.later(0.01, lambda: self.tell(ReadersSeen(at, refs)))
            case _:
                pass

    def _open(self, action: Open) -> None:
        engine = self.at(action.slot)
        ref = action.slot, action.start
        content = self.state.plays[action.request].wanted.content
        request = action.request

        def answer() -> None:
            outside = self.outside.get(action.slot)
            if outside is None or outside.start != action.start or engine.opens == "breaks":
                self.tell(PlaySilent(request, *ref, "hung up", broken=True))
            elif engine.opens == "refuses":
                self.tell(PlayRefused(request, *ref, "failed to load content"))
            else:
                engine.cut += [c for c in engine.open.values() if c == content]
                token = f"{next(self._numbers):032x}"
                engine.open[token] = content
                outside.streams[f"{content.key}|{token}"] = True
                opening = Opening(content.key, token, "name", is_live=True)
                self.tell(PlayOpened(request, *ref, opening))

        if engine.opens == "hangs" or engine.takes == math.inf:
            self.later(
                self.rules.open_lasts, lambda: self.tell(PlaySilent(request, *ref, "no answer"))
            )
        else:
            self.later(engine.takes, answer)

    def _stop(self, action: StopSession) -> None:
        engine = self.at(action.slot)

        def answer() -> None:
            ref = action.slot, action.start
            if not engine.stops:
                self.tell(SessionNotStopped(*ref, action.hold, "no answer"))
                return
            if action.hold.token:
                engine.open.pop(action.hold.token, None)
            else:  # it is opened once more, and that is stopped
                for token, content in list(engine.open.items()):
                    if content == action.hold.content:
                        del engine.open[token]
            self.tell(SessionStopped(*ref, action.hold))

        self.later(0.05, answer)


def gateway(engines: int, **numbers: object) -> Gateway:
    """So many engines that are ready; none is started beside them, unless `numbers` say so."""
    numbers = {"min_replicas": 0, "auto_delete": False, "max_replicas": max(1, engines), **numbers}
    world = Gateway(rules(min_provision_interval=0.0, **numbers))
    for n in range(engines):
        name = f"found-{n}"
        world.outside[slot(n)] = Outside(slot(n), name, f"id-{name}", 0.0)
    world.connect(world.running())
    world.run(20)
    assert world.listed() == list(range(engines))
    world.taken.clear()
    world.happened.clear()
    return world
