"""A pool as a busy host has it, put in the state of a service: engines are the far side here."""

import math

from msgspec.structs import replace

from acekeeper.core.doubt import Content, Hunger
from acekeeper.core.gateway.model import Hold, Play, Reader, Wanted
from acekeeper.core.model import (
    ByGateway,
    Draining,
    Engine,
    Health,
    KeyType,
    Opening,
    Sample,
    Stopping,
    Stream,
)
from acekeeper.core.names import Slot

from ..api.conftest import Served

SAMPLES = 60
ARRIVAL = "192.0.2.1"
ROOM = {
    "MAX_REPLICAS": "200",
    "PORT_RANGE_HOST": "19000-19199",
    "ENGINE_HTTPS_BASE": "20000",
    "ENGINE_P2P_BASE": "21000",
    "ENGINE_API_BASE": "22000",
}


async def fill(served: Served, engines: int) -> None:
    """Most well and half of them playing, every other of these for a player of the gateway; of the
    first ten some are not as they should be. Nothing plans for them any more."""
    loop, state = served.context.loop, served.context.state
    await loop.close()
    now = served.context.clock()
    for n in range(engines):
        slot = Slot("127.0.0.1", 19000 + n)
        engine = Engine(
            slot=slot,
            created=now.after(-300.0 * (n + 1)),
            incarnation=f"start-{n}",
            container_id=f"{n:064x}",
            health=Health.HEALTHY,
            ready=now.after(-290),
            checked=now.after(-7),
            used=now.after(-60.0 * n) if n % 3 else None,
        )
        match n:
            case 3:
                engine = replace(engine, health=Health.UNKNOWN)
            case 4:
                engine = replace(engine, health=Health.UNHEALTHY)
            case 5:
                engine = replace(engine, drain=Draining("operator", now))
            case 6:
                engine = replace(engine, stop=Stopping("operator"))
            case 7:
                engine = replace(engine, ready=None, container_id="", health=Health.UNKNOWN)
            case 8:
                engine = replace(engine, hunger=Hunger(now.mono - 300, told=True))
            case _:
                pass
        state.put(engine)
        if n % 2 == 0:
            _play(served, engine, n)
    await loop.store.write(state.changes)  # the page asks for the past of its curves


def wait(served: Served, players: int) -> None:
    """So many players wait; of the engines that `fill` left free one is being opened for the first
    of them, and one has to stop the session of somebody who left."""
    state, now = served.context.state, served.context.clock()
    for n in range(players):
        content = Content("content_id", f"{n:040x}")
        wanted = Wanted(
            content=content, is_hls=False, as_json=False, player=f"192.0.2.{n}", arrival=ARRIVAL
        )
        state.plays[f"play-{n}"] = Play(
            id=f"play-{n}", wanted=wanted, received=now, until=now.mono + 25
        )
    opening = Hold(Content("content_id", f"{0:040x}"), now, opening="play-0")
    stopping = Hold(Content("content_id", "e" * 40), now, infohash="e" * 40, token="e" * 32)
    for n, hold in ((9, opening), (11, stopping)):
        engine = state.engines[Slot("127.0.0.1", 19000 + n)]
        state.put_holds(engine.ref, (hold,))


def _play(served: Served, engine: Engine, n: int) -> None:
    state, now = served.context.state, served.context.clock()
    key = f"{n * 7919 + 12345:040x}"[::-1]
    samples = [
        Sample(
            now.after(-10.0 * (SAMPLES - i)),
            "dl",
            peers=max(0, 12 + n % 7 + round(4 * math.sin(i / 5 + n))),
            speed_down=max(0, 900 + 10 * n + round(400 * math.sin(i / 7 + n))),
            speed_up=40,
            downloaded=i * 9_000_000,
            uploaded=i * 400_000,
        )
        for i in range(SAMPLES)
    ]
    stream = Stream(
        id=f"{key}|{n:032x}",
        key_type=KeyType.INFOHASH,
        key=key,
        session=f"{n:032x}",
        stat_url=f"http://127.0.0.1:{engine.slot.port}/ace/stat/{key}/{n:032x}",
        own_command_url=f"http://127.0.0.1:{engine.slot.port}/ace/cmd/{key}/{n:032x}",
        is_live=True,
        address=(engine.slot.host, engine.slot.port),
        started=now.after(-10.0 * SAMPLES),
        slot=engine.slot,
        incarnation=engine.incarnation,
        container_id=engine.container_id,
        gateway=_by_gateway(key, n) if n % 4 == 0 else None,
    )
    state.put_stream(stream)
    if stream.gateway:
        state.put_reader(stream.id, Reader(opened=now.mono, last=now.mono, came=True))
    for sample in samples:
        state.put_sample(stream, sample)


def _by_gateway(key: str, n: int) -> ByGateway:
    return ByGateway(
        opening=Opening(key, f"{n:032x}", f"{n:032x}", is_live=True),
        player=f"192.0.2.{10 + n}",
        arrival=ARRIVAL,
        as_json=False,
        is_hls=False,
        query="",
    )
