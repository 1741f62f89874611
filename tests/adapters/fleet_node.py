"""A host on the bus of a fleet, with nothing behind it, for tests."""

import asyncio
from asyncio import Event, Queue, Task
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TypeVar

from nats.aio.client import Client

from acekeeper.adapters.certificates import Certificates
from acekeeper.adapters.nats_bus import NatsBus
from acekeeper.core.fleet.facts import (
    BeatHeard,
    FleetFact,
    LinkUp,
)
from acekeeper.core.fleet.model import Position
from acekeeper.core.gateway.model import Declined, Elsewhere, NotPlayed, PlayAsk

from ..nats import FLEET, HERE, LIMIT_S, Authority, NatsServer
from .test_nats_wire import DIGEST

F = TypeVar("F", bound=FleetFact)
HOSTS = ("a", "b")
FULL = Declined(NotPlayed.NO_ENGINE, "no engine was free in time")


class Node:
    """A host: it says that it is there ten times a second, and keeps what it hears."""

    def __init__(self, me: str, servers: Sequence[NatsServer], certificates: Path | None) -> None:
        self.bus = NatsBus(FLEET, me, [server.address for server in servers], certificates)
        self.at = Position(f"run-of-{me}", 0)
        self.heard: Queue[FleetFact] = Queue()
        self.asked: Queue[tuple[str, object]] = Queue()
        self.answers: Callable[[str, PlayAsk], Awaitable[Elsewhere | Declined]] = self.full
        self._tasks: list[Task[None]] = []

    async def __aenter__(self) -> "Node":
        self.run = asyncio.create_task(
            self.bus.run(
                self.heard.put_nowait,
                lambda host: self.asked.put_nowait((host, "sync")),
                self._asked,
                lambda host, request: self.asked.put_nowait((host, request)),
            )
        )
        self._tasks = [self.run, asyncio.create_task(self._beat())]
        return self

    async def __aexit__(self, *_: object) -> None:
        """No server holds it up, whatever its state."""
        for task in self._tasks:
            task.cancel()
        async with asyncio.timeout(LIMIT_S / 2):
            with suppress(asyncio.CancelledError):
                await self.run

    async def hear(self, kind: type[F], **fields: object) -> F:
        """The next of its kind; what is heard before is passed over."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                fact = await self.heard.get()
                if isinstance(fact, kind) and fields.items() <= _fields(fact).items():
                    return fact

    async def next_asked(self) -> tuple[str, object]:
        async with asyncio.timeout(LIMIT_S):
            return await self.asked.get()

    async def _beat(self) -> None:
        while True:
            self.bus.beat(self.at, DIGEST)
            await asyncio.sleep(0.1)

    async def _asked(self, host: str, ask: PlayAsk) -> Elsewhere | Declined:
        return await self.answers(host, ask)

    async def full(self, _host: str, _ask: PlayAsk) -> Elsewhere | Declined:
        return FULL


def _fields(fact: FleetFact) -> dict[str, object]:
    return {name: getattr(fact, name) for name in fact.__struct_fields__}


class Fleet:
    """Servers, and the hosts that a test lets join."""

    def __init__(
        self, servers: list[NatsServer], authority: Authority, stack: AsyncExitStack
    ) -> None:
        self.servers = servers
        self.authority = authority
        self._stack = stack

    async def join(self, me: str, servers: Sequence[NatsServer] = ()) -> Node:
        node = Node(me, servers or self.servers, self.authority.certify(me))
        return await self._stack.enter_async_context(node)

    async def meet(self) -> tuple[Node, Node]:
        """Two hosts that hear each other."""
        a, b = [await self.join(host) for host in HOSTS]
        await a.hear(LinkUp)
        await b.hear(LinkUp)
        await a.hear(BeatHeard, host="b")
        await b.hear(BeatHeard, host="a")
        return a, b


def drained(queue: Queue[FleetFact]) -> list[FleetFact]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


async def never(_host: str, _ask: PlayAsk) -> Elsewhere | Declined:
    await Event().wait()
    raise AssertionError


async def client(authority: Authority, host: str, server: NatsServer) -> tuple[Client, list[str]]:
    """Of somebody who has that host's certificate, and says what he likes; and what the server
    does not let him do."""
    refused: list[str] = []

    async def tell(error: Exception) -> None:
        refused.append(str(error))

    speaks = Client()
    await speaks.connect(
        servers=[f"nats://{HERE}:{server.address[1]}"],
        tls=Certificates(authority.certify(host)).context(),
        error_cb=tell,
        allow_reconnect=False,
    )
    return speaks, refused


def subject(rest: str) -> str:
    return f"acekeeper.v1.{FLEET}.{rest}"


async def settled(speaks: Client) -> None:
    """The server has all that was sent, and what it says to that is in."""
    for _ in range(2):  # the first PING of nats-py overtakes what was sent before it
        await speaks.flush()
