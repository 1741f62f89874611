"""A host of a fleet while its servers die, stand still, come late or are none."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from acekeeper.core.fleet.facts import (
    ChangeHeard,
    LinkDown,
    LinkUp,
)
from acekeeper.core.fleet.model import Position
from acekeeper.errors import Failure, NoAnswer
from acekeeper.server import EventLoop

from ..nats import HERE, LIMIT_S, Authority, NatsServer, cluster
from ..ports import free_port
from .fleet_node import HOSTS, Fleet, Node
from .test_nats_wire import ASK, DIGEST, ENGINES


async def test_a_server_that_is_killed_is_left_for_another(two: Fleet) -> None:
    first, second = two.servers
    a, b = await two.meet()
    second.start(first)
    first.kill()
    for node in (a, b):
        down = await node.hear(LinkDown)
        assert down.why == f"{HERE}:{first.address[1]} closed the connection"
        await node.hear(LinkUp)
    a.bus.changed(Position("e", 1), DIGEST, ENGINES, [])
    await b.hear(ChangeHeard)


async def test_a_server_that_stands_still_is_left_for_another(two: Fleet) -> None:
    """Of itself nothing would end for half a minute, nor would the connection close."""
    first, second = two.servers
    a, b = await two.meet()
    second.start(first)
    first.freeze()
    try:
        for node in (a, b):
            down = await node.hear(LinkDown)
            assert down.why == f"{HERE}:{first.address[1]} said nothing for 3 s"
            await node.hear(LinkUp)
        a.bus.changed(Position("e", 1), DIGEST, ENGINES, [])
        await b.hear(ChangeHeard)
    finally:
        first.thaw()


async def test_a_connection_to_a_server_that_stands_still_ends_at_once(fleet: Fleet) -> None:
    a, _ = await fleet.meet()
    fleet.servers[0].freeze()
    a.bus.changed(Position("e", 1), DIGEST, ENGINES, [])
    a.run.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait({a.run})
    assert not a.bus.is_up


async def test_nothing_is_kept_of_what_is_said_while_no_server_is_there(two: Fleet) -> None:
    first, second = two.servers
    a, b = await two.meet()
    second.start(first)
    for server in (first, second):
        server.kill()
    for node in (a, b):
        while node.bus.is_up:
            await node.hear(LinkDown)
    with pytest.raises(NoAnswer) as none:
        await a.bus.play("b", replace(ASK, within=0.05))
    assert none.value.failure is Failure.TIMEOUT
    a.bus.changed(Position("e", 1), DIGEST, ENGINES, [])
    a.bus.sync("b")
    second.start()
    await a.hear(LinkUp)
    await b.hear(LinkUp)
    a.bus.changed(Position("e", 2), DIGEST, ENGINES, [])
    assert (await b.hear(ChangeHeard)).at.seq == 2
    assert b.asked.empty()


async def test_a_server_may_come_after_the_hosts(two: Fleet, logged: list[Any]) -> None:
    late = two.servers[1]
    a = await two.join("a", [late])
    down = await a.hear(LinkDown)
    assert down.why == f"{HERE}:{late.address[1]} refuses the connection"
    late.start()
    await a.hear(LinkUp)
    assert a.heard.empty(), "an outage is told once"
    seldom = Counter(r["message"] for r in logged)["fleet_not_reached"]
    assert seldom <= 1, "each reason is logged once a minute"


async def test_what_is_no_server_is_left(fleet: Fleet) -> None:
    """It takes connections, and is silent; or it says what makes no sense."""
    for words, why in [
        (b"", "does not answer"),
        (b"INFO []\r\n", "does not answer as NATS does"),
        (b"220 mail\r\n", "ended the connection: empty response from server when expecting INFO"),
    ]:

        async def greet(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes = words
        ) -> None:
            writer.write(words)
            await reader.read()
            writer.close()

        port = free_port()
        async with await asyncio.start_server(greet, HERE, port):
            stranger = NatsServer(Path(), "stranger")
            stranger.address = (HERE, port)
            async with Node("a", [stranger], None) as a:
                down = await a.hear(LinkDown)
                assert down.why.startswith(f"{HERE}:{port} {why}")


async def test_two_hosts_of_one_name_are_told(tmp_path: Path, logged: list[Any]) -> None:
    with cluster(tmp_path, 1) as servers:
        async with Node("a", servers, None) as one, Node("a", servers, None) as other:
            other.at = Position("another run", 0)
            await one.hear(LinkUp)
            await other.hear(LinkUp)
            other.bus.changed(other.at, DIGEST, [], [])
            async with asyncio.timeout(LIMIT_S):
                while not any("set FLEET_HOST there" in str(r["extra"]) for r in logged):
                    await asyncio.sleep(0.01)


def test_it_runs_on_the_loop_of_the_service(tmp_path: Path, authority: Authority) -> None:
    """uvloop's connections are none of asyncio's."""

    async def leave_a_server(servers: list[NatsServer]) -> None:
        async with Node("a", servers, authority.certify("a")) as a:
            await a.hear(LinkUp)
            for server in servers:
                server.freeze()
            await a.hear(LinkDown)
            for server in servers:
                server.thaw()
            await a.hear(LinkUp)

    with (
        cluster(tmp_path, 2, HOSTS, authority) as servers,
        asyncio.Runner(loop_factory=EventLoop) as runner,
    ):
        runner.run(leave_a_server(servers))
