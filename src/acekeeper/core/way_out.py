"""How a host gets out to the network, as an engine takes it over when it starts."""

from msgspec import Struct


class Route(Struct, frozen=True, array_like=True):
    """A default route. `gateway` is empty where the device itself is the way (PPP, say)."""

    gateway: str
    device: str
    source: str  # the address of this host that is used with it
    is_ipv4: bool = True


class WayOut(Struct, frozen=True, array_like=True):
    """`route`: the default route of IPv4; of IPv6 where there is no other."""

    route: Route | None = None
    nameservers: tuple[str, ...] = ()

    @property
    def has_ipv4(self) -> bool:
        return self.route is not None and self.route.is_ipv4

    def is_newer_than(self, other: "WayOut") -> bool:
        """Whether an engine that took over `other` would have another way out if it started now. A
        route that is lost makes nothing better: it may come back, and the engine still has it. Nor
        does another order of the nameservers, which some resolvers rotate."""
        if self.route is None or (other.has_ipv4 and not self.has_ipv4):
            return False
        others = bool(self.nameservers) and {*self.nameservers} != {*other.nameservers}
        return self.route != other.route or others


class Network(Struct, frozen=True):
    """The way out of the host at the last look; moments are monotonic seconds."""

    way: WayOut
    since: float  # it is as it is
    lacking: float | None  # since then it has no default route of IPv4
    settled: bool = False  # it has been as it is for a while
