from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from acekeeper.adapters.store import Store
from acekeeper.core.changes import Happening
from acekeeper.core.state import State
from acekeeper.usecases.loop import Loop

from ..core.world import rules
from .house import (
    Clock,
    House,
    ScriptedConnections,
    ScriptedEngines,
    ScriptedPlayer,
    ScriptedRuntime,
    ScriptedSessions,
)

MakeHouse = Callable[..., House]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "acekeeper.db"


@pytest.fixture
async def make_house(db: Path) -> AsyncIterator[MakeHouse]:
    """Nothing is started or stopped by itself unless a rule given says so."""
    async with AsyncExitStack() as stack:

        def make(store: Any = None, db: Path = db, **numbers: object) -> House:
            if store is None:
                store = Store(db, 7)
                store.load(Clock()())
                stack.push_async_callback(store.close)
            clock = Clock()
            runtime, engines = ScriptedRuntime(clock), ScriptedEngines(clock)
            player, sessions = ScriptedPlayer(), ScriptedSessions()
            happened: list[Happening] = []
            given = {"min_replicas": 0, "auto_delete": False, **numbers}
            state = State()
            connections = ScriptedConnections()
            loop = Loop(
                state,
                rules(**given),
                clock,
                runtime,
                engines,
                player,
                sessions,
                connections,
                runtime.present,
                store,
                happened.append,
            )
            stack.push_async_callback(loop.close)
            return House(
                loop, runtime, engines, player, sessions, connections, store, clock, happened
            )

        yield make


@pytest.fixture
async def house(make_house: MakeHouse) -> House:
    return make_house()


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    records: list[Any] = []
    number = logger.add(lambda message: records.append(message.record), catch=False)
    yield records
    logger.remove(number)
