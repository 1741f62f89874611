"""A host that acekeeper was deployed to, with engines behind the VPNs of a provider."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import deploying, image
from ..asking import KEY, Asked
from ..deploying import Deployer, Variables, as_user
from ..lab import Lab
from ..waiting import until
from .provider import Provider, providing
from .wire import Wire, watching

NAMES = ("de", "ch")
SLOTS = 20
PASTA = "/usr/bin/pasta"
# In an engine's container: whether somebody is reached, and not just asked.
CONNECT = "import socket; socket.create_connection(('{}', {}), 2)"


@dataclass(frozen=True)
class Vpns(Asked):
    deployer: Deployer
    provider: Provider
    lab: Lab
    wants: int  # as many engines are to be free

    def behind(self) -> dict[str, set[int]]:
        """The ports of the engines that are listed, by their VPNs."""
        found: dict[str, set[int]] = {name: set() for name in NAMES}
        for engine in self.get("/engines"):
            found[engine["vpn"]].add(engine["port"])
        return found

    def shown(self, name: str) -> dict[str, Any]:
        [vpn] = [vpn for vpn in self.get("/vpn/status")["vpns"] if vpn["name"] == name]
        return dict(vpn)

    def states(self) -> list[str]:
        return [self.shown(name)["state"] for name in NAMES]

    def free(self) -> int:
        count: int = self.status()["capacity"]["available"]
        return count

    def is_whole(self) -> bool:
        return self.states() == ["connected"] * len(NAMES) and self.free() >= self.wants

    def pid(self, name: str) -> int:
        """Of the VPN itself; 0 if it does not run."""
        inspect = f"podman inspect --format '{{{{.State.Pid}}}}' vpn-{name}"
        return int(as_user(self.host, inspect, check=False).strip() or 0)

    def kill(self, name: str) -> None:
        self.host.ssh(f"kill -9 {self.pid(name)}")

    def signal(self, name: str, signal: str) -> None:
        as_user(self.host, f"podman kill --signal {signal} vpn-{name}")

    def units(self, does: str) -> None:
        as_user(self.host, f"systemctl --user {does}")

    def reaches(self, port: int, host: str, its_port: int) -> bool:
        """Whether an engine does."""
        command = f"podman exec engine-{port} python3 -c"
        connect = f'"{CONNECT.format(host, its_port)}"'
        done = self.host.ssh(f"cd / && sudo -u acekeeper {command} {connect}", check=False)
        return done.returncode == 0


@contextmanager
def deployed(
    lab: Lab, number: int, directory: Path, settings: Variables, ports: Sequence[int]
) -> Iterator[Vpns]:
    """`ports`: that the provider forwards at first, as the VPNs are in order."""
    host = lab.up(number)
    with providing(lab, NAMES) as provider:
        for name, port in zip(NAMES, ports, strict=True):
            provider.forward(name, port)
        gluetun = image.build(directory, image.GLUETUN)
        variables = {
            **deploying.from_archive(image.build(directory, image.TALKING)),
            "acekeeper_vpn_image": gluetun.id,
            "acekeeper_vpn_image_archive": str(gluetun.archive),
            "acekeeper_vpn_api_key": "the-key-of-the-control-servers",
            "acekeeper_vpns": [
                {
                    "name": name,
                    "environment": {"VPN_PORT_FORWARDING": "on"},
                    "secrets": {"wg0.conf": provider.config(name)},
                }
                for name in NAMES
            ],
            "acekeeper_settings": {"VPN_SLOTS": SLOTS, **settings},
            "acekeeper_api_key": KEY,
        }
        deployer = Deployer(directory, [host], variables)
        deployer.deploy()
        wants = settings["MIN_REPLICAS"]
        assert isinstance(wants, int)
        vpns = Vpns(host, deployer, provider, lab, wants)
        until(vpns.is_whole)
        yield vpns
    lab.down(number)


@contextmanager
def nothing_leaks(vpns: Vpns) -> Iterator[Wire]:
    with watching(vpns.host, vpns.provider) as wire:
        yield wire
        assert wire.seen() == {}
    assert vpns.provider.callers <= {vpn.public for vpn in vpns.provider.sold.values()}
