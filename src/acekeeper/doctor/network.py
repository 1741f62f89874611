"""What containers need for their network, the ports of engines, and who is connected to them."""

import os
from collections.abc import Container, Iterator
from pathlib import Path

from acekeeper.adapters import connections, way_out
from acekeeper.adapters.ports import present, test
from acekeeper.core.names import Slot
from acekeeper.doctor.finding import Finding, run, well, wrong
from acekeeper.errors import AcekeeperError, EngineFailed, RuntimeUnavailable
from acekeeper.firewall import firewall
from acekeeper.rules import rules_of
from acekeeper.settings import Settings

_TUN = "/dev/net/tun"


def check(settings: Settings) -> Iterator[Finding]:
    try:
        os.close(os.open(_TUN, os.O_RDWR))
        yield well(f"{_TUN} can be used")
    except OSError as error:
        yield wrong(f"{_TUN} cannot be used: {error.strerror}", "Give it mode 0666, as Debian does")
    if not settings.vpns:
        yield _way_out()
    yield from ports(settings, running())
    if settings.settings_file is not None:
        yield from _firewall(settings, settings.settings_file.with_name("firewall.nft"))


def _way_out() -> Finding:
    """As an engine that starts now would take it over."""
    way = way_out.look()
    if way.route is None or not way.has_ipv4:
        other = " but one of IPv6" if way.route else ""
        return wrong(
            f"this host has no default route of IPv4{other}: engines that start now never get out",
            "`ip route` shows the routes; wait if it is to come (DHCP), else mend the network",
        )
    if not way.nameservers:
        return wrong(
            "/etc/resolv.conf names no nameserver: engines that start now look up no name",
            "Name one there, or have DHCP do it",
        )
    by = f"{way.route.device} via {way.route.gateway or 'nobody'} as {way.route.source}"
    return well(f"engines get out by {by}, and ask {', '.join(way.nameservers)} for names")


def _firewall(settings: Settings, path: Path) -> Iterator[Finding]:
    """Checked only where the file is there: something else may guard the ports."""
    try:
        table = path.read_text("utf-8")
    except FileNotFoundError:
        return
    except OSError as error:
        raise AcekeeperError(f"{path} cannot be read: {error.strerror}") from error
    if table == firewall(settings):
        yield well(f"{path} is up to date")
    else:
        yield wrong(
            f"{path} does not say what the settings say",
            f"As root, run `acekeeper settings --firewall > {path}` and"
            " `systemctl reload acekeeper-firewall.service`",
        )


def running() -> set[int]:
    """The HTTP ports of engines that run."""
    listed = run(
        *("systemctl", "--user", "list-units", "--plain", "--no-legend"),
        *("--state=active,activating,deactivating", "engine@*.service"),
    )
    units = (line.split()[0] for line in listed.out.splitlines())
    slots = (Slot.from_unit(unit) for unit in units)
    return {slot.port for slot in slots if slot}


def ports(settings: Settings, ours: Container[int]) -> Iterator[Finding]:
    """`ours`: the HTTP ports of engines that are to have theirs. Those of VPNs are theirs."""
    if not settings.vpns:
        yield from _free(settings, ours)
    try:
        connections.of_others(())
        yield well("the kernel tells who is connected to them")
    except RuntimeUnavailable as error:
        yield wrong(error.message, error.hint)


def _free(settings: Settings, ours: Container[int]) -> Iterator[Finding]:
    there = present(settings.engine_host)
    plan = rules_of(settings).ports
    taken = []
    for port in settings.port_range_host[: settings.max_replicas]:
        if port not in ours:
            try:
                test(plan.ports(port), there)
            except EngineFailed as error:
                taken.append(error.message)
    for text in taken:
        yield wrong(text, "`ss -ltnup` names it; stop it, or move PORT_RANGE_HOST or its bases")
    if not taken:
        yield well(f"the ports of {settings.max_replicas} engines are free, or ours")
