"""8. Connection pooling: one shared pool for every call to an engine, kept open and bounded."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections import Counter

from acekeeper.adapters.engine import EngineClient
from acekeeper.app import clock
from acekeeper.core.names import Slot

from ..adapters.policies import ONCE
from ..api.conftest import Serve, Served
from .engine import WELL, Talking

ALL, EACH = 100, 8  # connections


async def test_a_connection_is_used_again(serve: Serve, talking: Talking) -> None:
    served: Served = await serve(ENGINE_COMMAND=talking.command)
    await served.post("/provision/acestream")
    for _ in range(5):
        assert (await served.post("/sweeps/health")).json()["answered"] == 1
    assert talking.connections == 1


async def test_calls_under_way_are_bounded_in_all_and_for_each_engine() -> None:
    """More than that at once, to engines that answer nobody before the pool is full."""
    full = asyncio.Event()
    now: Counter[int] = Counter()  # calls by port
    most: Counter[int] = Counter()
    most_in_all = 0

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal most_in_all
        port = writer.get_extra_info("sockname")[1]
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            now[port] += 1
            most[port] = max(most[port], now[port])
            most_in_all = max(most_in_all, now.total())
            if now.total() >= ALL:
                full.set()
            await full.wait()
            now[port] -= 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(WELL))
            writer.write(WELL.encode())
        writer.close()

    servers = [await asyncio.start_server(answer, "127.0.0.1", 0) for _ in range(14)]
    slots = [Slot("127.0.0.1", server.sockets[0].getsockname()[1]) for server in servers]
    client = EngineClient(clock, ONCE, 10)
    try:
        await asyncio.gather(*(client.status(slot) for slot in slots for _ in range(20)))
    finally:
        await client.close()
        for server in servers:
            server.close()
    assert most_in_all == ALL
    assert max(most.values()) == EACH
