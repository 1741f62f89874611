"""The faults of `faults.py` for the alerts of VPNs: on a host with two VPNs, of whose provider the
test has control, and whose engines send something through them."""

from collections.abc import Iterator, Mapping
from functools import partial

from . import faults
from .faults import Fault, Steps
from .lab import Host
from .viewing import Viewing
from .vpn.deployed import NAMES
from .vpn.provider import Provider
from .waiting import until

FIRST, SECOND = NAMES
PORT = 40123  # forwarded to the first, when nothing is wrong
PORTS = (PORT, 0)
SETTINGS: Mapping[str, object] = {**faults.SETTINGS, "VPN_CHECK_INTERVAL_S": 1}
_CHANGES = 9
_ITS_LOG = rf"vpn-{FIRST}\[\d+\]: "


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
                f"refusing provisions: no VPN has a tunnel: {FIRST} is (dead|lost)",
                "vpn lost: vpn .*, state dead",
            ),
        ),
        "VpnTunnelDead": Fault(
            carrying_nothing(FIRST),
            (
                *(f"vpn {FIRST}: (dead|lost) since ", f"vpn {SECOND}: connected since "),
                *("state dead", _ITS_LOG, r"\n(200|500)\n"),
            ),
            also="curl",
        ),
        "VpnPortMissing": Fault(no_port, (f"port 0, before {PORT}", _ITS_LOG)),
        "VpnPortFlapping": Fault(many_ports, (f"port {PORT + 1}, before {PORT + 2}", _ITS_LOG)),
    }


def _tells(host: Host, port: int) -> bool:
    return f"port {port}" in host.ssh("acekeeper status").stdout
