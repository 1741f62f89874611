"""This host tells the fleet of itself, and hears of the others."""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import assert_never

from msgspec.structs import replace

from acekeeper.core.fleet import said
from acekeeper.core.fleet.actions import AskHost, Drop, FleetAction, Sync
from acekeeper.core.fleet.facts import FleetFact, LinkDown, LinkUp
from acekeeper.core.fleet.model import Digest, Position, SharedEngine
from acekeeper.usecases.elsewhere import Plays
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.protocols import Bus

_BEAT_S = 1.0
_TOGETHER_S = 0.1  # changes within so long are told together


class Fleet:
    """`panel`: the URL at which others reach the panel of this host; empty if they do not."""

    def __init__(self, loop: Loop, bus: Bus, plays: Plays, panel: str) -> None:
        self._loop = loop
        self._bus = bus
        self._plays = plays
        self._panel = panel
        # What was told: the engines as they were at that position, and at that revision of ours.
        self._at = Position(secrets.token_hex(8), 0)
        self._engines: Mapping[str, SharedEngine] = {}
        self._revision: int | None = None

    async def run(self) -> None:
        """Until it is cancelled."""
        heard = self._heard, self._sync_asked, self._plays.asked, self._plays.dropped
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._bus.run(*heard))
                tasks.create_task(self._speak())
        except Exception as error:  # a defect: from here on this host is alone, and says so
            self._loop.tell(LinkDown(repr(error)))
            raise

    def take(self, action: FleetAction) -> None:
        match action:
            case Sync(host):
                self._bus.sync(host)
            case AskHost():
                self._plays.ask(action)
            case Drop():
                self._plays.drop(action)
            case _:
                assert_never(action)

    def _heard(self, fact: FleetFact) -> None:
        self._loop.tell(fact)
        if isinstance(fact, LinkUp):
            self._loop.changed.set()  # what changed meanwhile was not told

    def _sync_asked(self, host: str) -> None:
        engines = tuple(self._engines.values())
        self._bus.snapshot(host, self._at, self._digest(), engines)

    async def _speak(self) -> None:
        """Beats also while the link is down: one that comes back is what tells that it is up."""
        loop, changed = asyncio.get_running_loop(), self._loop.changed
        due = loop.time()
        while True:
            changed.clear()
            self._tell_changes()
            if loop.time() >= due:
                self._bus.beat(self._at, self._digest())
                due = loop.time() + _BEAT_S
            await asyncio.sleep(_TOGETHER_S)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await changed.wait()

    def _tell_changes(self) -> None:
        """Since they were told last. No more than MAX_REPLICAS, which one message can carry."""
        state = self._loop.state
        if not self._bus.is_up or state.revision == self._revision:
            return
        before, now = self._engines, said.engines(state, self._loop.rules)
        up = [engine for name, engine in now.items() if before.get(name) != engine]
        gone = [name for name in before if name not in now]
        self._engines, self._revision = now, state.revision
        if up or gone:
            self._at = Position(self._at.epoch, self._at.seq + 1)
            self._bus.changed(self._at, self._digest(), up, gone)

    def _digest(self) -> Digest:
        loop = self._loop
        return replace(said.digest(loop.state, loop.rules, loop.clock()), panel=self._panel)
