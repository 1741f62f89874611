"""The command line: which options there are, and what is given."""

from functools import partial
from typing import NamedTuple

from ..words import Option, given, number

MEANING = "run one emulated VPN; what VPN_API_KEY in its environment holds is the key it asks for"


class Flags(NamedTuple):
    control_port: int = 8000
    health_port: int = 9999
    start_delay: float = 1.0
    public_ip: str = "203.0.113.1"
    country: str = "Switzerland"
    forwarded_port: int | None = None
    net_dev: str = ""


_option = partial(Option, Flags())

OPTIONS = (
    _option("control-port", "N", "the control server, on 127.0.0.1"),
    _option("health-port", "N", "the health server, on 127.0.0.1; it is the admin port too"),
    _option("start-delay", "S", "seconds until it has a tunnel"),
    _option("public-ip", "ADDRESS", "the address that it says it has"),
    _option("country", "NAME", "the country that it says that is in"),
    _option("forwarded-port", "N", "the port that it says its provider forwards"),
    _option("net-dev", "FILE", "where the counters of its tunnel are, as in /proc/net/dev"),
)


def parse(argv: list[str]) -> Flags:
    """ValueError says which is bad."""
    words = given(argv)
    return Flags(
        control_port=int(number(words, "control-port", Flags().control_port, 1, 65535)),
        health_port=int(number(words, "health-port", Flags().health_port, 1, 65535)),
        start_delay=number(words, "start-delay", Flags().start_delay, 0, 86_400),
        public_ip=words.get("public-ip") or Flags().public_ip,
        country=words.get("country") or Flags().country,
        forwarded_port=int(number(words, "forwarded-port", 0, 1, 65535)) or None,
        net_dev=words.get("net-dev", ""),
    )
