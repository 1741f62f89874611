"""Joins a fleet, as the settings have it. Imported only where there is one."""

import ipaddress

from acekeeper.adapters.nats_bus import NatsBus
from acekeeper.core.names import EVERYWHERE
from acekeeper.metrics import Metrics
from acekeeper.metrics.fleet import Fleet as Gauges
from acekeeper.settings import Settings
from acekeeper.usecases.elsewhere import Plays
from acekeeper.usecases.fleet import Fleet
from acekeeper.usecases.loop import Loop


def join(settings: Settings, loop: Loop, metrics: Metrics) -> None:
    """From here on, until `loop` is closed."""
    bus = NatsBus(
        settings.fleet_name,
        settings.fleet_host,
        settings.fleet_servers,
        settings.fleet_certificates,
    )
    plays = Plays(
        loop,
        bus,
        settings.gateway_allow,
        settings.gateway_allow_urls,
        f"http://{settings.fleet_address}:{settings.gateway_port}",
        metrics.fleet_answered,
    )
    fleet = Fleet(loop, bus, plays, _panel(settings))
    metrics.add(Gauges(loop.state, loop.clock, lambda: bus.certificate_days))
    loop.take_in_fleet = fleet.take
    loop.spawn(fleet.run())


def _panel(settings: Settings) -> str:
    """Where other hosts reach it; empty if they do not."""
    host = settings.app_host
    if host == EVERYWHERE:
        host = settings.fleet_address
    is_here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    return "" if is_here else f"http://{host}:{settings.app_port}/panel"
