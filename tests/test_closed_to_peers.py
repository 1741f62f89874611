"""Which firewalls of a host keep other peers out; nft itself is asked on a host."""

import json
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "ansible/roles/acekeeper/files/closed_to_peers.py"
FIND: dict[str, Any] = runpy.run_path(str(SCRIPT))
closing: Callable[..., Iterator[tuple[str, str, str]]] = FIND["closing"]
Item = dict[str, Any]


def chain(table: str = "filter", policy: str = "accept", **more: object) -> Item:
    shown = {"family": "inet", "table": table, "name": "input", "type": "filter"}
    return {"chain": {**shown, "hook": "input", "prio": 0, "policy": policy, **more}}


def rule(*parts: Item, table: str = "filter", name: str = "input") -> Item:
    return {"rule": {"family": "inet", "table": table, "chain": name, "expr": list(parts)}}


def port(right: object, protocol: str = "th") -> Item:
    left = {"payload": {"protocol": protocol, "field": "dport"}}
    return {"match": {"op": "==", "left": left, "right": right}}


def match(left: Item, right: object = "x") -> Item:
    return {"match": {"op": "==", "left": left, "right": right}}


PORTS = {"range": [21000, 21039]}
BOTH = match({"meta": {"key": "l4proto"}}, {"set": ["tcp", "udp"]})
ACCEPT, DROP, REJECT = {"accept": None}, {"drop": None}, {"reject": None}
HERE = ("inet", "filter", "input")
CLOSED = [
    [chain(policy="drop")],
    [chain(), rule({"counter": {}}, DROP)],
    [chain(), rule({"log": None}, REJECT)],
    [chain(policy="drop"), rule(port({"range": [21000, 21038]}), ACCEPT)],
    [chain(policy="drop"), rule(port(22), ACCEPT)],
    [chain(policy="drop"), rule(port(PORTS, "udp"), ACCEPT)],
    [chain(policy="drop"), rule(port(PORTS), DROP)],
    [chain(policy="drop"), rule(match({"meta": {"key": "iifname"}}), port(PORTS), ACCEPT)],
    [chain(policy="drop"), rule(match({"meta": {"key": "l4proto"}}, "tcp"), port(PORTS), ACCEPT)],
    [chain(policy="drop"), rule(BOTH, port(PORTS), ACCEPT, table="acekeeper")],
    [chain(policy="drop"), rule(ACCEPT, port(PORTS), match({"payload": {"field": "saddr"}}))],
]
OPEN = [
    [],
    [chain()],
    [chain(), rule(port(PORTS), DROP)],  # not for all
    [chain(policy="drop", hook="forward")],
    [chain(policy="drop", type="nat")],
    [chain("acekeeper", policy="drop")],
    [chain(policy="drop"), rule(BOTH, port(PORTS), ACCEPT)],
    [chain(policy="drop"), rule(port({"set": [22, {"range": [1024, 65535]}]}), ACCEPT)],
    [chain(policy="drop"), rule(port(PORTS, "tcp"), ACCEPT), rule(port(PORTS, "udp"), ACCEPT)],
    [chain(policy="drop"), rule(match({"ct": {"key": "state"}}, "new"), port(PORTS), ACCEPT)],
    [chain(policy="drop"), rule(port(PORTS), ACCEPT, name="jumped-to")],
]


@pytest.mark.parametrize("ruleset", CLOSED)
def test_a_chain_that_drops_what_no_rule_lets_in_is_named(ruleset: list[Item]) -> None:
    assert list(closing(ruleset, 21000, 21039)) == [HERE]


@pytest.mark.parametrize("ruleset", OPEN)
def test_no_other_is(ruleset: list[Item]) -> None:
    assert list(closing(ruleset, 21000, 21039)) == []


# What the real ones print: ufw 0.36.2, firewalld 1.3.3.
UFW = """Status: active
Logging: on (low)
Default: {incoming} (incoming), allow (outgoing), deny (routed)
New profiles: skip

To                         Action      From
--                         ------      ----
21000:21039/tcp            ALLOW IN    {sender}
21000:21039/udp            DENY IN     Anywhere
21000:21039/tcp (v6)       ALLOW IN    Anywhere (v6)
"""
FIREWALLD = """case "$*" in
    --state) echo running ;;
    --get-default-zone) echo public ;;
    --get-zone-of-interface=eth0) {zone} ;;
    --zone=home\\ --query-port=*/tcp) echo yes ;;
    --zone=*\\ --query-port=*) echo no; exit 1 ;;
    *) echo "You're performing an operation over default zone ('public'),"; echo no ;;
esac"""
Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """No other is there, nor is anything listed by nft."""

    def install(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    install("ip", "echo default via 192.168.1.1 dev eth0 proto dhcp metric 100")
    install("nft", "echo")
    install("ufw", "echo Status: inactive")
    install("firewall-cmd", "echo not running; exit 252")
    return install


def told() -> list[str]:
    return list(FIND["told"](21000, 21039))


def ufw(incoming: str = "deny", sender: str = "Anywhere") -> str:
    status = UFW.format(incoming=incoming, sender=sender)
    english = '[ "$LC_ALL" = C.UTF-8 ] || { echo Status: Aktiv; exit; }'
    return f"{english}\n[ \"$*\" = 'status verbose' ] && cat <<'END'\n{status}END"


def test_ufw_is_told_of_in_its_own_words(install: Install) -> None:
    install("ufw", ufw())
    assert told() == ["ufw: ufw allow 21000:21039/udp"]
    install("ufw", ufw(sender="192.168.1.0/24"))
    assert told() == ["ufw: ufw allow 21000:21039/tcp && ufw allow 21000:21039/udp"]
    install("ufw", ufw(incoming="allow"))
    assert told() == []


def test_firewalld_is_told_of_by_the_zone_of_the_default_route(install: Install) -> None:
    install("firewall-cmd", FIREWALLD.format(zone="echo home"))
    adds = "--zone=home --add-port=21000-21039/udp"
    assert told() == [f"firewalld: firewall-cmd {adds} && firewall-cmd --permanent {adds}"]
    install("firewall-cmd", FIREWALLD.format(zone="echo no zone >&2; exit 2"))
    adds = "--zone=public --add-port=21000-21039/tcp --add-port=21000-21039/udp"
    assert told() == [f"firewalld: firewall-cmd {adds} && firewall-cmd --permanent {adds}"]


def test_their_tables_are_not_told_of_as_the_hosts_own(install: Install) -> None:
    dropping = chain("filter", "drop", family="ip", name="INPUT")
    install("nft", f"echo '{json.dumps({'nftables': [dropping]})}'")
    install("ufw", ufw(incoming="allow"))
    assert told() == []
    install("ufw", "echo Status: inactive")
    [nft] = told()
    assert nft.startswith("nftables: nft insert rule ip filter INPUT meta l4proto '{ tcp, udp }'")
