"""Players of a host whose fleet has others: each opens, declines or says nothing, as told, and
knows the sessions that it has open for players of this host."""

import itertools
import math
from dataclasses import dataclass, field

from acekeeper.core.actions import Action
from acekeeper.core.fleet.actions import AskHost, Drop
from acekeeper.core.fleet.model import Digest, Link, Replica
from acekeeper.core.gateway.actions import SendThere
from acekeeper.core.gateway.facts import HostDeclined, HostPlayed
from acekeeper.core.gateway.model import Elsewhere, NotPlayed
from acekeeper.core.model import Opening
from acekeeper.core.rules import Rules

from ..world import RULES, rules
from .players import Players, players


@dataclass(slots=True)
class Host:
    """How it treats what it is asked from now on."""

    answers_after: float = 0.01  # inf: never
    declines: NotPlayed | None = None
    is_there: bool = True
    on_its_way: float = 0.0  # its answer
    opened: set[str] = field(default_factory=set)  # plays that have a session there
    dropped: set[str] = field(default_factory=set)  # before they had one


class FleetPlayers(Players):
    def __init__(self, rules: Rules = RULES) -> None:
        super().__init__(rules)
        self.hosts: dict[str, Host] = {}
        self.sent: dict[str, Elsewhere] = {}  # what players were sent to
        self._tokens = itertools.count(1)

    def host(self, name: str, free: int = 1, room: int = 0) -> Host:
        """Is there from now on, and says this of itself; its last word never grows old."""
        digest = Digest(version="1", engines=free, free=free, room=room, streams=0)
        self.state.fleet.link = Link(is_up=True)
        self.state.fleet.put(
            Replica(host=name, digest=digest, heard=math.inf, since=0.0, is_whole=True)
        )
        return self.hosts.setdefault(name, Host())

    def asks(self) -> list[tuple[str, str, bool]]:
        asked = (action for action in self.taken if isinstance(action, AskHost))
        return [(action.request, action.host, action.may_start) for action in asked]

    def drops(self) -> list[tuple[str, str]]:
        dropped = (action for action in self.taken if isinstance(action, Drop))
        return [(action.host, action.request) for action in dropped]

    def _take(self, action: Action) -> None:
        super()._take(action)
        match action:
            case AskHost(request, name, within):
                assert within > 0
                self._asked(request, name, self.hosts[name])
            case Drop(name, request):
                host = self.hosts[name]
                if request in host.opened:
                    host.opened.remove(request)
                else:
                    host.dropped.add(request)
            case SendThere(request, session):
                assert request not in self.failed.keys() | self.served.keys() | self.sent.keys()
                self.sent[request] = session
            case _:
                pass

    def _asked(self, request: str, name: str, host: Host) -> None:
        if not host.is_there:
            gone = HostDeclined(request, name, "nobody is there", is_away=True)
            self.later(0.001, lambda: self.tell(gone))
        elif host.declines:
            no = HostDeclined(request, name, "in its words", host.declines)
            self.later(host.answers_after, lambda: self.tell(no))
        elif host.answers_after < math.inf:
            self.later(host.answers_after, lambda: self._played(request, name, host))

    def _played(self, request: str, name: str, host: Host) -> None:
        if request in host.dropped:
            return
        host.opened.add(request)
        played = HostPlayed(request, session(name, f"there-{next(self._tokens)}"))
        self.later(host.on_its_way, lambda: self.tell(played))


def session(host: str, token: str) -> Elsewhere:
    return Elsewhere(
        host=host,
        origin=f"http://{host}.example:6878",
        opening=Opening("0" * 40, token, "", is_live=True),
        is_hls=False,
    )


def fleet_players(engines: int = 1, *, taken: bool = True, **numbers: object) -> FleetPlayers:
    """So many engines that are ready here; all of them play for clients of the API, if `taken`."""
    here = players(engines, **numbers)
    world = FleetPlayers(rules(**{f: getattr(here.rules, f) for f in here.rules.__struct_fields__}))
    world.outside = here.outside
    world.connect(world.running())
    world.run(20)
    for n, engine in enumerate(list(world.outside) if taken else ()):
        world.play(engine, f"taken-{n}", key=f"{n + 100:040x}")
    world.run(1)
    world.taken.clear()
    world.happened.clear()
    return world
