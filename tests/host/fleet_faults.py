"""The faults of `faults.py` for the alerts of a fleet: on one of three hosts, all of which the test
has control of."""

from collections.abc import Iterator, Mapping

from . import faults
from .faults import Fault
from .fleet import certificates
from .fleet.deployed import Fleet
from .lab import Host
from .viewing import Viewing
from .waiting import until

HOSTS = (3, 4, 5)
SETTINGS: Mapping[str, object] = {**faults.SETTINGS, "MAX_REPLICAS": faults.MIN_REPLICAS}
_SOON_DAYS = 20


def fleet_faults(fleet: Fleet) -> Mapping[str, Fault]:
    """Of the first of them."""
    here, *_, other = fleet.members

    def no_servers(host: Host, viewing: Viewing) -> Iterator[None]:
        for member in fleet.members:
            member.server("stop")
        yield
        for member in fleet.members:
            member.server("start")

    def no_power(host: Host, viewing: Viewing) -> Iterator[None]:
        other.host.unplug()
        yield
        other.host.plug_in()
        until(fleet.is_true)

    def ends_soon(host: Host, viewing: Viewing) -> Iterator[None]:
        certificates.ends_in(fleet, here, _SOON_DAYS)
        yield
        fleet.deployer.deploy("--tags", "fleet")

    return {
        "FleetLinkDown": Fault(no_servers, ("refuses the connection",)),
        "FleetHostLost": Fault(no_power, (rf"{other.name}.*lost",)),
        "FleetCertificateEnds": Fault(ends_soon, (rf"{_SOON_DAYS}|{_SOON_DAYS - 1} days",)),
    }
