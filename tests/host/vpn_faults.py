"""The faults of `faults.py` for the alerts of VPNs: on a host with two VPNs, of whose provider the
test has control, and whose engines send something through them."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Protocol

from .faults import Fault, Steps
from .lab import Host
from .viewing import Viewing
from .waiting import until

FIRST, SECOND = "de", "ch"
PORT = 40123  # forwarded to the first, when nothing is wrong
_CHANGES = 9


class Provider(Protocol):
    def forward(self, name: str, port: int) -> None:
        """From the world to this VPN; 0: no port."""

    def carry(self, name: str, *, carries: bool) -> None:
        """Whether anything comes out of the tunnel, which is there all along."""


def vpn_faults(provider: Provider) -> Mapping[str, Fault]:
    def carrying_nothing(*names: str) -> Steps:
        def steps(host: Host, viewing: Viewing) -> Iterator[None]:
            for name in names:
                provider.carry(name, carries=False)
            yield
            for name in names:
                provider.carry(name, carries=True)

        return steps

    def no_port(host: Host, viewing: Viewing) -> Iterator[None]:
        provider.forward(FIRST, 0)
        yield
        provider.forward(FIRST, PORT)

    def many_ports(host: Host, viewing: Viewing) -> Iterator[None]:
        for port in range(PORT + _CHANGES, PORT, -1):
            provider.forward(FIRST, port)
            until(partial(_tells, host, port))
        yield
        provider.forward(FIRST, PORT)

    return {
        "VpnDown": Fault(
            carrying_nothing(FIRST, SECOND),
            (
                f"refusing provisions: no VPN has a tunnel: {FIRST} is dead",
                "vpn lost: vpn .*, state dead",
            ),
        ),
        "VpnTunnelDead": Fault(
            carrying_nothing(FIRST),
            (f"vpn {FIRST}: dead since ", f"vpn {SECOND}: connected since ", "state dead"),
            also="curl",
        ),
        "VpnPortMissing": Fault(no_port, (f"port 0, before {PORT}",)),
        "VpnPortFlapping": Fault(many_ports, (f"port {PORT + 1}, before {PORT + 2}",)),
    }


def _tells(host: Host, port: int) -> bool:
    return f"port {port}" in host.ssh("acekeeper status").stdout
