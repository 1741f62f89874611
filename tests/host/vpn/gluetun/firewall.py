"""The kill switch, rule by rule in Gluetun's order, and the rules of its user after it."""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from .links import TUNNEL, Link

POST_RULES = Path("/iptables/post-rules.txt")
RULE = re.compile(r"(ip6?tables)(?:-nft)? (.+)")
ANSWERS = ("-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED")
PROTOCOLS = ("tcp", "udp")


def enable(link: Link, input_ports: Iterable[str]) -> None:
    for chain in ("INPUT", "OUTPUT", "FORWARD"):
        _both("--policy", chain, "DROP")
    _both("--append", "INPUT", "-i", "lo", "-j", "ACCEPT")
    _both("--append", "OUTPUT", "-o", "lo", "-j", "ACCEPT")
    for chain in ("OUTPUT", "INPUT"):
        _both("--append", chain, *ANSWERS, "-j", "ACCEPT")
    own, subnet = str(link.address.ip), str(link.address.network)
    _rule("--append", "OUTPUT", "-o", link.name, "-s", own, "-d", subnet, "-j", "ACCEPT")
    _rule("--append", "INPUT", "-i", link.name, "-d", subnet, "-j", "ACCEPT")
    for port in input_ports:
        _open(link.name, port)
    if POST_RULES.exists():
        _run_post_rules()


def allow_tunnel(link: Link, endpoint: tuple[str, int]) -> None:
    host, port = endpoint
    to = ("-o", link.name, "-d", host, "-p", "udp", "--dport", str(port))
    _rule("--append", "OUTPUT", *to, "-j", "ACCEPT")
    _both("--append", "OUTPUT", "-o", TUNNEL, "-j", "ACCEPT")


def forward(port: int, *, opened: bool) -> None:
    """What comes through the tunnel for this port."""
    _open(TUNNEL, str(port), "--append" if opened else "--delete")


def _open(device: str, port: str, does: str = "--append") -> None:
    for protocol in PROTOCOLS:
        _both(does, "INPUT", "-i", device, "-p", protocol, "--dport", port, "-j", "ACCEPT")


def _run_post_rules() -> None:
    for line in POST_RULES.read_text().splitlines():
        if rule := RULE.fullmatch(line.strip()):
            program, arguments = rule.groups()
            _run(f"{program}-nft", *arguments.split())


def _both(*rule: str) -> None:
    _run("ip6tables-nft", *rule)
    _rule(*rule)


def _rule(*rule: str) -> None:
    _run("iptables-nft", *rule)


def _run(*command: str) -> None:
    """As the original: it does not run without its rules."""
    subprocess.run(command, check=True)
