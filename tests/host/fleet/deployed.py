"""Hosts that acekeeper was deployed to as one fleet."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import deploying, image
from ..asking import KEY, Asked
from ..deploying import Deployer, Variables, as_user, show
from ..lab import Lab
from ..waiting import until

NAME = "home"
SERVER = "acekeeper-fleet.service"
LIVE, LOST = "live", "lost"


@dataclass(frozen=True)
class Member(Asked):
    @property
    def name(self) -> str:
        return self.host.name

    @property
    def address(self) -> str:
        return self.host.address

    def link(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/fleet")["link"]
        return found

    def sees(self) -> dict[str, dict[str, Any]]:
        """Every host of the fleet, by name."""
        return {seen["host"]: seen for seen in self.get("/fleet")["hosts"]}

    def standing(self, other: "Member") -> str:
        return str(self.sees()[other.name]["standing"])

    def playing(self) -> dict[str, dict[str, Any]]:
        """The streams in its books, by content."""
        return {stream["key"]: stream for stream in self.get("/streams?status=started")}

    def free(self) -> int:
        count: int = self.status()["capacity"]["available"]
        return count

    def pid(self) -> int:
        return int(show(self.host, "acekeeper.service", "MainPID"))

    def restart(self) -> None:
        as_user(self.host, "systemctl --user restart acekeeper.service")

    def server(self, does: str) -> None:
        self.host.ssh(f"systemctl {does} {SERVER}")

    def server_pid(self) -> int:
        """0: it has none."""
        return int(self.host.ssh(f"systemctl show --value -p MainPID {SERVER}").stdout)

    def server_of(self) -> set[str]:
        """The address of the server that its acekeeper is connected to."""
        connections = self.host.ssh("ss -Htnp state established dport = :4222").stdout
        lines = [line for line in connections.splitlines() if f"pid={self.pid()}," in line]
        return {line.split()[3].rpartition(":")[0] for line in lines}

    @contextmanager
    def frozen(self, pid: int) -> Iterator[None]:
        """The process, which somebody may end meanwhile."""
        self.host.ssh(f"kill -STOP {pid}")
        try:
            yield
        finally:
            self.host.ssh(f"kill -CONT {pid}", check=False)


@dataclass(frozen=True)
class Fleet:
    members: list[Member]
    deployer: Deployer
    lab: Lab
    engines: int  # of each, when nothing is wrong

    def others(self, *members: Member) -> list[Member]:
        return [member for member in self.members if member not in members]

    def is_true(self, *gone: Member) -> bool:
        """Whether each of the others sees what all of these say of themselves, and sees that those
        are gone."""
        there = self.others(*gone)
        seen = {member.name: member.sees() for member in there}
        own = {name: figures(views[name]) for name, views in seen.items()}
        for name, views in seen.items():
            live = {host for host, view in views.items() if view["standing"] == LIVE}
            if live != own.keys() or views.keys() != {m.name for m in self.members}:
                return False
            if any(figures(views[other]) != own[other] for other in own if other != name):
                return False
        return all(member.link()["up"] for member in there)

    def is_live(self) -> bool:
        """Whether all are live to each, while players come and go."""
        return all(
            member.link()["up"] and {view["standing"] for view in member.sees().values()} == {LIVE}
            for member in self.members
        )

    def is_idle(self) -> bool:
        """Whether it is true, and a player can have any engine."""
        return self.is_true() and all(
            member.sees()[member.name]["free"] == self.engines for member in self.members
        )

    @contextmanager
    def cut(self, *pairs: tuple[Member, Member]) -> Iterator[None]:
        self.lab.network.separate(*((one.address, other.address) for one, other in pairs))
        try:
            yield
        finally:
            self.lab.network.separate()


def figures(view: dict[str, Any]) -> tuple[object, ...]:
    names = ("engines", "free", "room", "streams", "maintenance", "version")
    return tuple(view[name] for name in names)


def settings_of(lab: Lab, settings: Variables) -> Variables:
    """Players come from this machine."""
    return {"GATEWAY_ALLOW": f"{lab.address}/32", **settings}


@contextmanager
def deployed(
    lab: Lab, numbers: Sequence[int], directory: Path, settings: Variables
) -> Iterator[Fleet]:
    """With as many engines on each as MIN_REPLICAS says."""
    hosts = [lab.up(number) for number in numbers]
    variables = {
        **deploying.from_archive(image.build(directory)),
        "acekeeper_fleet": NAME,
        "acekeeper_settings": settings_of(lab, settings),
        "acekeeper_api_key": KEY,
    }
    deployer = Deployer(directory, hosts, variables)
    deployer.deploy()
    engines = settings["MIN_REPLICAS"]
    assert isinstance(engines, int)
    fleet = Fleet([Member(host) for host in hosts], deployer, lab, engines)
    until(fleet.is_idle)
    yield fleet
    for number in numbers:
        lab.down(number)
