"""A world with other hosts: each speaks as the protocol has it, and tests say what arrives."""

from collections.abc import Mapping
from functools import partial
from itertools import count, pairwise

from msgspec.structs import replace

from acekeeper.core.actions import Action
from acekeeper.core.changes import Happening
from acekeeper.core.fleet.actions import Sync
from acekeeper.core.fleet.facts import BeatHeard, ChangeHeard, LinkUp, SnapshotHeard
from acekeeper.core.fleet.model import (
    Digest,
    Doing,
    Fleet,
    Position,
    Replica,
    SharedEngine,
    Standing,
)
from acekeeper.core.rules import Rules

from ..world import World, rules

FLEET = rules(fleet_host="here", fleet_address="192.0.2.1", min_replicas=0)
DIGEST = Digest(version="1.0", engines=0, free=0, room=0, streams=0)


class Other:
    """Another host, as it really is, and all that it ever was."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.digest = DIGEST
        self.speaks = True
        self.engines: dict[str, SharedEngine] = {}
        self.at = Position("", 0)
        self.was: dict[Position, Mapping[str, SharedEngine]] = {Position("", 0): {}}
        self._runs = count(1)
        self.restart()

    def restart(self) -> None:
        """Its engines are told of anew: none of them so far."""
        self.at = Position(f"{self.name}-{next(self._runs)}", 0)
        self.engines = {}
        self.was[self.at] = {}

    def change(self, *up: int, gone: int = 0, doing: Doing = Doing.FREE) -> ChangeHeard:
        """By the ports of the engines."""
        engines = tuple(SharedEngine(f"engine-{port}", port, doing, 0) for port in up)
        self.engines |= {engine.id: engine for engine in engines}
        self.engines.pop(f"engine-{gone}", None)
        self.at = Position(self.at.epoch, self.at.seq + 1)
        self.was[self.at] = dict(self.engines)
        lost = (f"engine-{gone}",) if gone else ()
        return ChangeHeard(host=self.name, at=self.at, digest=self.digest, up=engines, gone=lost)

    def beat(self) -> BeatHeard:
        return BeatHeard(host=self.name, at=self.at, digest=self.digest)

    def snapshot(self) -> SnapshotHeard:
        engines = tuple(self.engines.values())
        return SnapshotHeard(host=self.name, at=self.at, digest=self.digest, engines=engines)


class FleetWorld(World):
    """Other hosts beat once a second, and answer, unless they do not speak or our link is down."""

    def __init__(self, *names: str, rules: Rules = FLEET) -> None:
        super().__init__(rules)
        self.others = {name: Other(name) for name in names}
        self.answers_syncs = True
        self.tell(LinkUp())
        for n, other in enumerate(self.others.values()):
            self.later(0.1 + n * 0.9 / len(names), partial(self._beats, other))

    def _beats(self, other: Other) -> None:
        self.hear(other)
        self.later(1.0, partial(self._beats, other))

    def hear(self, other: Other) -> None:
        if other.speaks and self.fleet.link.is_up:
            self.tell(other.beat())

    def _take(self, action: Action) -> None:
        super()._take(action)
        if isinstance(action, Sync) and self.answers_syncs:
            self.later(0.002, partial(self._answer, self.others[action.host]))

    def _answer(self, other: Other) -> None:
        if other.speaks and self.fleet.link.is_up:
            self.tell(other.snapshot())

    @property
    def fleet(self) -> Fleet:
        return self.state.fleet

    def replica(self, name: str) -> Replica:
        return self.fleet.hosts[name]

    def standings(self) -> dict[str, Standing]:
        return {name: replica.standing for name, replica in self.fleet.hosts.items()}

    def syncs(self) -> list[str]:
        return [action.host for action in self.taken if isinstance(action, Sync)]

    def told(self, *kinds: str) -> list[Happening]:
        return [happening for happening in self.happened if happening.kind in kinds]

    def knows_all(self) -> bool:
        return all(
            (known := self.fleet.hosts.get(name)) is not None
            and (known.at, known.engines, known.is_whole) == (other.at, other.engines, True)
            for name, other in self.others.items()
        )


def check(world: FleetWorld) -> None:
    """What holds in every state."""
    fleet, now, numbers = world.fleet, world.now.mono, world.rules
    for standing, order in fleet.order.items():
        assert set(order) == {h for h, r in fleet.hosts.items() if r.standing is standing}
        if standing is not Standing.LOST:
            assert all(fleet.hosts[a].heard <= fleet.hosts[b].heard for a, b in pairwise(order))
    lacking = {h for h, r in fleet.hosts.items() if r.standing is Standing.LIVE and not r.is_whole}
    assert fleet.lacking.keys() == lacking
    for name, replica in fleet.hosts.items():
        assert replica.engines == world.others[name].was[replica.at], "a state that never was"
        silent = now - replica.heard
        if silent < numbers.lease:
            assert replica.standing is Standing.LIVE
        if silent >= numbers.lease + numbers.stale_lasts:
            assert replica.standing is Standing.LOST
        if replica.standing is Standing.LOST:
            assert not replica.engines
            assert not replica.is_whole


def with_free(other: Other, free: int, room: int = 0) -> None:
    other.digest = replace(other.digest, free=free, room=room)
