"""Which ports other peers need, and what an operator is told of them."""

import socket

import pytest

from acekeeper.peers import forwarding, own_address, peer_ports
from acekeeper.settings import load


@pytest.mark.parametrize(
    ("given", "ports"),
    [
        ({}, range(21000, 21040)),
        ({"MAX_REPLICAS": "1"}, range(21000, 21002)),
        ({"ENGINE_P2P_BASE": "31000", "PORT_RANGE_HOST": "19000-19024"}, range(31000, 31025)),
    ],
)
def test_twice_as_many_as_engines_but_no_more_than_there_are(
    given: dict[str, str], ports: range
) -> None:
    assert peer_ports(load(given)) == ports


def test_engines_behind_vpns_have_none_that_a_router_has_to_forward() -> None:
    settings = load({"VPNS": "de"})
    assert list(peer_ports(settings)) == []
    assert forwarding(settings, "192.168.1.5") == ""


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("192.168.1.5", "for peers, forward TCP and UDP 21000-21039 on the router to 192.168.1.5"),
        # Of a provider that shares one address among its customers.
        ("100.64.1.2", "for peers, forward TCP and UDP 21000-21039 on the router to 100.64.1.2"),
        ("", "for peers, forward TCP and UDP 21000-21039 on the router to this host"),
        (
            "8.8.8.8",
            "peers reach the engines at 8.8.8.8, TCP and UDP 21000-21039, unless a firewall closes"
            " them",
        ),
    ],
)
def test_a_router_is_only_asked_where_there_is_one(address: str, told: str) -> None:
    assert forwarding(load({}), address) == told


def test_a_host_without_a_way_out_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    assert own_address() == ""
