"""A lab's network: a bridge its hosts hang on, and a way out through the machine's own address."""

from pathlib import Path

from .command import run, try_each
from .machine import boot_id
from .namespace import Namespace, remove_all
from .places import STATE, locked

FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
FORWARD_BEFORE = STATE / "ip_forward"
PREFIX = "acelab"


class Network:
    def __init__(self, lab: int) -> None:
        self.name = f"{PREFIX}{lab}"  # of the bridge and of the nft table
        self._subnet = f"198.18.{lab}"  # set aside for test networks (RFC 2544)
        self.gateway = self.address(254)

    def address(self, host: int) -> str:
        return f"{self._subnet}.{host}"

    def beyond(self, name: str) -> Namespace:
        """It goes with the network."""
        return Namespace(f"{self.name}-{name}")

    def up(self) -> None:
        with locked("network"):
            _forward()
            if not _exists(self.name):
                run("ip", "link", "add", self.name, "type", "bridge")
            run("ip", "address", "replace", f"{self.gateway}/24", "dev", self.name)
            run("ip", "link", "set", self.name, "up")
            run("nft", "-f", "-", stdin=self._rules())

    def separate(self, *pairs: tuple[str, str]) -> None:
        """Nothing passes between these addresses, as if a cable was cut; between all others it
        does again."""
        drops = "\n".join(
            f"ip saddr {one} ip daddr {other} drop\nip saddr {other} ip daddr {one} drop"
            for one, other in pairs
        )
        rules = f"""
            table bridge {self.name}
            delete table bridge {self.name}
            table bridge {self.name} {{
                chain forward {{
                    type filter hook forward priority 0
                    {drops}
                }}
            }}
        """
        run("nft", "-f", "-", stdin=rules)

    def down(self) -> None:
        remove_all(f"{self.name}-")
        with locked("network"):
            try_each(
                ("nft", "delete", "table", "bridge", self.name),
                ("nft", "delete", "table", "ip", self.name),
                ("ip", "link", "delete", self.name),
            )
            if not any(Path("/sys/class/net").glob(f"{PREFIX}*")):
                _forward_as_before()

    def _rules(self) -> str:
        subnet = f"{self._subnet}.0/24"
        return f"""
            table ip {self.name}
            delete table ip {self.name}
            table ip {self.name} {{
                chain postrouting {{
                    type nat hook postrouting priority 100
                    ip saddr {subnet} ip daddr != {subnet} masquerade
                }}
            }}
        """


def cut_link(name: str) -> None:
    if _exists(name):
        run("ip", "link", "set", name, "down", check=False)  # it may have gone by itself


def remove_link(name: str) -> None:
    if _exists(name):
        run("ip", "link", "delete", name, check=False)  # may go by itself meanwhile


def _exists(link: str) -> bool:
    return Path("/sys/class/net", link).exists()


def _forward() -> None:
    if FORWARD.read_text().strip() == "0":
        STATE.mkdir(mode=0o700, parents=True, exist_ok=True)
        FORWARD_BEFORE.write_text(f"0 {boot_id()}")
        FORWARD.write_text("1")


def _forward_as_before() -> None:
    """The last lab to leave puts back what the first one found, unless the machine was rebooted."""
    if FORWARD_BEFORE.exists():
        if FORWARD_BEFORE.read_text() == f"0 {boot_id()}":
            FORWARD.write_text("0")
        FORWARD_BEFORE.unlink()
