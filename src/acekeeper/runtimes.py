"""Whoever runs the engines and the VPNs, as the settings have it.

What not every service needs is imported only where it is made: to import it takes a fifth of the
time of a start.
"""

from contextlib import AsyncExitStack
from pathlib import Path

from acekeeper.adapters.processes import Processes
from acekeeper.adapters.retries import Retries
from acekeeper.metrics import Metrics
from acekeeper.settings import Settings
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.protocols import Clock, Runtime, TunnelCounters


def runtime_of(
    settings: Settings, clock: Clock, retries: Retries, metrics: Metrics
) -> tuple[Runtime, TunnelCounters | None]:
    """And whoever sees what goes through its VPNs, if there are any."""
    if settings.runtime == "quadlet" and settings.target_image is not None:
        from acekeeper.adapters.podman import Podman
        from acekeeper.adapters.quadlet import Quadlet
        from acekeeper.adapters.systemd import Systemd

        systemd, units = Systemd(retries, asked=metrics.asked_systemd), None
        if settings.vpns:
            from acekeeper.adapters.user_bus import runtime_dir
            from acekeeper.adapters.vpn_units import VpnUnits

            units = VpnUnits(settings.vpns, systemd, Path(runtime_dir()))
        quadlet = Quadlet(
            settings.engine_host,
            settings.target_image,
            settings.state_dir,
            clock,
            systemd,
            Podman(retries, asked=metrics.asked_podman),
            start_within=settings.provision_timeout_s,
            vpns=units,
        )
        return quadlet, units
    emulated = None
    if settings.vpns:
        from acekeeper.adapters.vpn_processes import VpnProcesses

        emulated = VpnProcesses(
            settings.vpns,
            settings.state_dir,
            settings.vpn_control_base,
            settings.vpn_health_base,
            _vpn_key(settings),
        )
    processes = Processes(
        settings.engine_host,
        settings.engine_command,
        settings.state_dir,
        clock,
        start_within=settings.provision_timeout_s,
        vpns=emulated,
    )
    return processes, emulated


def watch_vpns(
    stack: AsyncExitStack, settings: Settings, loop: Loop, traffic: TunnelCounters, metrics: Metrics
) -> None:
    """From here on, until `stack` ends it."""
    from acekeeper.adapters.gluetun import Gluetun
    from acekeeper.metrics.vpns import Vpns
    from acekeeper.usecases.vpns import Checks

    names, bases = settings.vpns, (settings.vpn_control_base, settings.vpn_health_base)
    api = Gluetun(names, *bases, _vpn_key(settings))
    stack.push_async_callback(api.close)
    metrics.add(Vpns(loop.state, loop.rules))
    loop.spawn(Checks(loop, api, traffic, settings.vpn_check_interval_s).run())


def _vpn_key(settings: Settings) -> str:
    return settings.vpn_api_key.reveal() if settings.vpn_api_key else ""
