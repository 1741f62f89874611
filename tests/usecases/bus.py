"""A message system that does as scripted, and whoever plays across hosts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from acekeeper.core.fleet.actions import AskHost, Drop
from acekeeper.core.fleet.facts import BeatHeard, ChangeHeard, FleetFact, SnapshotHeard
from acekeeper.core.fleet.model import Digest, Position, SharedEngine
from acekeeper.core.gateway.model import Declined, Elsewhere, NotPlayed, PlayAsk

ME = "a"


class ScriptedBus:
    """`said`: what others hear of it, in its order."""

    def __init__(self) -> None:
        self.is_up = True
        self.said: list[BeatHeard | ChangeHeard | SnapshotHeard] = []
        self.asked: list[str] = []
        self.answered: list[str] = []
        self.breaks = asyncio.Event()

    async def run(
        self,
        told: Callable[[FleetFact], object],
        sync_asked: Callable[[str], object],
        play_asked: Callable[[str, PlayAsk], Awaitable[Elsewhere | Declined]],
        dropped: Callable[[str, str], object],
    ) -> None:
        self.told = told
        self.sync_asked = sync_asked
        self.play_asked = play_asked
        self.dropped = dropped
        await self.breaks.wait()
        raise RuntimeError("a defect")

    def beat(self, at: Position, digest: Digest) -> None:
        self.said.append(BeatHeard(host=ME, at=at, digest=digest))

    def changed(
        self, at: Position, digest: Digest, up: Sequence[SharedEngine], gone: Sequence[str]
    ) -> None:
        assert self.is_up, "it would not be sent"
        change = ChangeHeard(host=ME, at=at, digest=digest, up=tuple(up), gone=tuple(gone))
        self.said.append(change)

    def snapshot(
        self, host: str, at: Position, digest: Digest, engines: Sequence[SharedEngine]
    ) -> None:
        self.answered.append(host)
        self.said.append(SnapshotHeard(host=ME, at=at, digest=digest, engines=tuple(engines)))

    def sync(self, host: str) -> None:
        self.asked.append(host)

    async def play(self, host: str, ask: PlayAsk) -> Elsewhere | Declined:
        raise NotImplementedError

    def drop(self, host: str, request: str) -> None:
        raise NotImplementedError

    @property
    def changes(self) -> list[tuple[int, dict[int, str], list[int]]]:
        """Of each its number, what became of engines, and those that are gone."""
        return [
            (
                change.at.seq,
                {engine.port - 19000: engine.doing.value for engine in change.up},
                [int(name.removeprefix("engine-")) - 19000 for name in change.gone],
            )
            for change in self.said
            if isinstance(change, ChangeHeard)
        ]

    @property
    def beats(self) -> list[BeatHeard]:
        return [said for said in self.said if isinstance(said, BeatHeard)]


class ScriptedPlays:
    def __init__(self) -> None:
        self.taken: list[AskHost | Drop] = []
        self.heard: list[tuple[str, str]] = []

    def ask(self, action: AskHost) -> None:
        self.taken.append(action)

    def drop(self, action: Drop) -> None:
        self.taken.append(action)

    async def asked(self, host: str, ask: PlayAsk) -> Elsewhere | Declined:
        self.heard.append((host, ask.request))
        return Declined(NotPlayed.NO_ENGINE, "none is free")

    def dropped(self, host: str, request: str) -> None:
        self.heard.append((host, request))
