"""Which firewalls of a host keep other peers out; nft itself is asked on a host."""

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


def test_each_firewall_is_told_of_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    install("ufw", "echo 'Status: active'; echo '21000:21039/tcp  ALLOW  Anywhere'")
    install("firewall-cmd", '[ "$1" = --state ] && echo running || echo no')
    install(
        "nft",
        'echo \'{"nftables": [{"chain": {"family": "ip", "table": "filter",'
        ' "name": "INPUT", "hook": "input", "type": "filter", "policy": "drop"}}]}\'',
    )
    assert list(FIND["told"](21000, 21039)) == [
        "ufw: ufw allow 21000:21039/udp",
        "firewalld: firewall-cmd --permanent --add-port=21000-21039/tcp"
        " --add-port=21000-21039/udp && firewall-cmd --reload",
    ]
    install("ufw", "echo 'Status: inactive'")
    [_, nft] = FIND["told"](21000, 21000)
    assert nft.startswith("nftables: nft insert rule ip filter INPUT meta l4proto '{ tcp, udp }'")
