from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from .player import Player
from .pool import KEPT, channel
from .service import Service

Begin = Callable[..., Awaitable[Service]]
Watch = Callable[..., Player]


class MakeService(Protocol):
    def __call__(
        self,
        settings: Mapping[str, object],
        *,
        state: Path | None = None,
        slots: int = 24,
        start_delay: float = 0.3,
    ) -> Service: ...


@pytest.fixture
def service(tmp_path: Path) -> Iterator[MakeService]:
    """Makes services, each on a state directory of its own unless given one; they and their
    engines end with the test."""
    with ExitStack() as stack:
        count = 0

        def make(
            settings: Mapping[str, object],
            *,
            state: Path | None = None,
            slots: int = 24,
            start_delay: float = 0.3,
        ) -> Service:
            nonlocal count
            count += 1
            made = Service(state or tmp_path / f"state-{count}", settings, slots, start_delay)
            stack.callback(made.end)
            return made

        yield make


@pytest.fixture
async def ready(service: MakeService) -> Begin:
    """A service whose engines, `engines` of them, are all ready; no other is started."""

    async def begin(engines: int, **settings: object) -> Service:
        count = {"MIN_REPLICAS": engines, "MAX_REPLICAS": engines}
        running = service({**KEPT, **count, **settings}, slots=engines)
        await running.start(engines=engines)
        return running

    return begin


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    async with AsyncExitStack() as stack:
        players: list[Player] = []

        def make(running: Service, content: int | str, *, as_json: bool = False) -> Player:
            key = channel(content) if isinstance(content, int) else content
            player = Player(running.gateway, key, as_json=as_json)
            players.append(player)
            return player

        yield make
        for player in players:
            await stack.enter_async_context(player)
