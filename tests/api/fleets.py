"""A host of a fleet, and the others as they are known by what they said."""

import dataclasses
from typing import Any

import httpx
from msgspec.structs import replace

from acekeeper import __version__
from acekeeper.app import api
from acekeeper.core.fleet.model import (
    Digest,
    Doing,
    Link,
    Position,
    Replica,
    SharedEngine,
    Standing,
)
from acekeeper.core.state import State

from .conftest import BASE, Served

SINCE = 1_700_000_000.0
LINKED = Link(True, SINCE)


async def in_fleet(served: Served) -> Served:
    """As if it had been started with FLEET_NAME, but that it says and hears nothing."""
    loop = served.context.loop
    await loop.close()
    loop.rules = replace(loop.rules, fleet_host="media-2")
    context = replace(served.context, fleet="home")
    app: Any = api(served.settings, context, True, bool)
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)
    return dataclasses.replace(served, client=client, context=context)


def replica(
    host: str, standing: Standing = Standing.LIVE, heard: float = 0.0, **digest: object
) -> Replica:
    """With two engines, of which one is free; `heard` is a moment of the loop's clock."""
    engines = (
        SharedEngine("engine-19001", 19001, Doing.FREE, 0),
        SharedEngine("engine-19000", 19000, Doing.TAKEN, 1),
    )
    said = Digest(version=__version__, engines=2, free=1, room=3, streams=1)
    return Replica(
        host=host,
        digest=replace(said, **digest),
        heard=heard,
        since=SINCE,
        standing=standing,
        at=Position("run", 1),
        engines={} if standing is Standing.LOST else {e.id: e for e in engines},
        is_whole=standing is not Standing.LOST,
    )


def put(state: State, *hosts: Replica, link: Link = LINKED) -> None:
    """These and no others."""
    state.fleet.link, state.fleet.hosts = link, {host.host: host for host in hosts}
