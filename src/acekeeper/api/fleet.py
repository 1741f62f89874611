"""/fleet: the hosts of the fleet, as this one knows them."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from litestar import Request, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from msgspec.structs import asdict, replace

from acekeeper.api.context import Context, Prepared, json_answer, prepared
from acekeeper.api.described import described
from acekeeper.api.wire import moment_or_none
from acekeeper.api.wire_fleet import (
    FleetCounts,
    FleetEngine,
    FleetHost,
    FleetHostWithEngines,
    FleetLink,
    FleetReport,
    FleetTile,
    FleetTotals,
)
from acekeeper.core.fleet import said
from acekeeper.core.fleet.model import Digest, Replica, SharedEngine, Standing
from acekeeper.core.fleet.seen import standings
from acekeeper.core.model import Now

_encode = msgspec.json.Encoder().encode


def fleet_now(context: Context, *_: object) -> Prepared:
    now = context.clock()
    others = sorted(context.state.fleet.hosts.items())
    body = FleetReport(
        name=context.fleet,
        host=context.rules.fleet_host or None,
        link=_link(context),
        hosts=[_this(context, now), *(_other(replica, now) for _, replica in others)],
    )
    return prepared(_encode(body))


@get("/fleet", opt=described("read", FleetReport, at_once=fleet_now))
async def list_hosts(request: Request[Any, Any, Any]) -> ASGIResponse:
    """The hosts of the fleet; without one, this host alone."""
    return await fleet_now(Context.of(request)).response()


@get("/fleet/{host:str}", opt=described("read", FleetHostWithEngines))
async def get_host(request: Request[Any, Any, Any], host: FromPath[str]) -> ASGIResponse:
    """One host of the fleet and its engines."""
    context = Context.of(request)
    state, rules, now = context.state, context.rules, context.clock()
    if context.fleet is None:
        raise NotFoundException("this host belongs to no fleet: FLEET_NAME is not set")
    if host == rules.fleet_host:
        engines = said.engines(state, rules).values()
        body = FleetHostWithEngines(_this(context, now), True, _engines(engines))
    elif (replica := state.fleet.hosts.get(host)) is not None:
        engines = replica.engines.values()
        body = FleetHostWithEngines(_other(replica, now), replica.is_whole, _engines(engines))
    else:
        raise NotFoundException(f"the fleet has no host {host[:80]}; /fleet names those it has")
    return json_answer(_encode(body))


def totals(context: Context) -> FleetTotals | None:
    """None without a fleet."""
    link = _link(context)
    if context.fleet is None or link is None:
        return None
    counts = {s.value: number for s, number in standings(context.state.fleet).items()}
    return FleetTotals(context.fleet, link, FleetCounts(**counts))


def tiles(context: Context, now: Now) -> Iterator[tuple[str, FleetTile]]:
    """By name, without what changes all the time; none without a fleet."""
    if context.fleet is not None:
        yield context.rules.fleet_host, _tile_of_this(context, now)
        for host, replica in context.state.fleet.hosts.items():
            yield host, _tile_of(replica)


def _link(context: Context) -> FleetLink | None:
    if context.fleet is None:
        return None
    link = context.state.fleet.link
    why = None if link.is_up else link.why
    return FleetLink(link.is_up, moment_or_none(link.since or None), why)


def _this(context: Context, now: Now) -> FleetHost:
    return FleetHost(**asdict(_tile_of_this(context, now)), age_s=0.0)


def _other(replica: Replica, now: Now) -> FleetHost:
    age = round(max(0.0, now.mono - replica.heard), 1)
    return FleetHost(**asdict(_tile_of(replica)), age_s=age)


def _tile_of_this(context: Context, now: Now) -> FleetTile:
    digest = said.digest(context.state, context.rules, now)
    return _tile(context.rules.fleet_host or None, digest, Standing.LIVE, None, is_this=True)


def _tile_of(replica: Replica) -> FleetTile:
    digest = replica.digest
    if replica.standing is Standing.LOST:
        digest = replace(digest, engines=0, free=0, room=0, streams=0)
    return _tile(replica.host, digest, replica.standing, replica.since, is_this=False)


def _tile(
    host: str | None, digest: Digest, standing: Standing, since: float | None, *, is_this: bool
) -> FleetTile:
    is_url = digest.panel.startswith(("http://", "https://"))  # else it may be a script
    return FleetTile(
        host=host,
        is_this=is_this,
        standing=standing.value,
        since=moment_or_none(since),
        version=digest.version,
        engines=digest.engines,
        free=digest.free,
        room=digest.room,
        streams=digest.streams,
        maintenance=digest.maintenance,
        panel=digest.panel if is_url else None,
    )


def _engines(engines: Iterable[SharedEngine]) -> list[FleetEngine]:
    by_port = sorted(engines, key=lambda engine: engine.port)
    return [FleetEngine(e.id, e.port, e.doing.value, e.streams) for e in by_port]
