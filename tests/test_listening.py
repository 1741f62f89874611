"""Where players are listened for."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from acekeeper.listening import Gateway, open_gateway

from .ports import free_port

ABSENT = "192.0.2.1", "198.51.100.1"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody's engine listens."""
    with closing(socket.create_server(("127.0.0.1", free_port()))) as engine:
        yield engine.getsockname()[1]


def let_go(gateway: Gateway) -> list[str]:
    """Where it listened."""
    hosts = [str(opened.getsockname()[0]) for opened in gateway.sockets]
    for opened in gateway.sockets:
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        opened.close()
    return hosts


def test_an_address_that_is_not_here_yet_is_listened_on() -> None:
    gateway = open_gateway(("127.0.0.1", *ABSENT), free_port())
    assert let_go(gateway) == ["127.0.0.1", *ABSENT]
    assert gateway.off == []


def test_what_is_taken_is_said_and_the_others_are_listened_on(taken: int) -> None:
    gateway = open_gateway(("127.0.0.1", "127.0.0.2"), taken)
    assert let_go(gateway) == ["127.0.0.2"]
    assert gateway.off == [
        f"another program listens on 127.0.0.1:{taken}; `ss -ltnp sport = :{taken}` names it"
    ]


def test_without_a_port_there_is_no_gateway_and_nothing_wrong() -> None:
    gateway = open_gateway(ABSENT, 0)
    assert (let_go(gateway), gateway.off) == ([], ())


def test_what_systemd_hands_over_is_taken_as_it_is(taken: int) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as handed:
        gateway = open_gateway(("127.0.0.1",), taken, [handed])
        assert (gateway.sockets, gateway.off) == ([handed], ())


def test_where_systemds_unit_failed_nothing_is_opened_in_its_place(taken: int) -> None:
    gateway = open_gateway(("127.0.0.1", ABSENT[0]), taken, [])
    assert gateway.sockets == ()
    [wrong] = gateway.off
    assert wrong.startswith(f"another program listens on 127.0.0.1:{taken}; ")
    port = free_port()
    [wrong] = open_gateway(("127.0.0.1",), port, []).off
    assert wrong.startswith("acekeeper-gateway.socket handed over no socket; ")
    socket.create_server(("127.0.0.1", port)).close()  # and nothing keeps it
