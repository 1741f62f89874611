"""Who is connected, on real sockets."""

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from acekeeper.adapters import connections
from acekeeper.adapters.connections import has_others, of_others
from acekeeper.errors import RuntimeUnavailable

_CALL = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))):
    print("connected", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::ffff:127.0.0.1"])
def test_a_connection_of_another_process_is_seen_until_it_ends(
    listener: socket.socket, host: str
) -> None:
    port = listener.getsockname()[1]
    assert not has_others(port)
    with subprocess.Popen(
        [sys.executable, "-c", _CALL, host, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as caller:
        assert caller.stdout
        assert caller.stdout.readline() == "connected\n"
        accepted, _ = listener.accept()
        with closing(accepted):
            assert has_others(port)
            assert not has_others(accepted.getpeername()[1])  # the other end of the same one
            caller.communicate("")
            assert accepted.recv(1) == b""
            assert not has_others(port)


def test_our_own_connections_are_not_others(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()):
        assert not has_others(listener.getsockname()[1])


def test_one_of_ours_that_closes_meanwhile_is_no_other(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = connections._open

    def asked_and_closed(family: int) -> Iterator[connections._Socket]:
        yield from asked(family)
        ours.close()

    monkeypatch.setattr(connections, "_open", asked_and_closed)
    with socket.create_connection(listener.getsockname()) as ours:
        assert not has_others(listener.getsockname()[1])


def test_of_those_that_are_closed_the_kernel_does_not_even_tell(listener: socket.socket) -> None:
    """There may be ten thousands."""
    port = listener.getsockname()[1].to_bytes(2, "big")

    def told() -> int:
        return sum(port in ends[3:5] for ends in connections._open(socket.AF_INET))

    with socket.create_connection(listener.getsockname()) as ours:
        accepted, _ = listener.accept()
        assert told() == 3
        ours.close()
        assert accepted.recv(1) == b""
        accepted.close()
        deadline = time.monotonic() + 20  # much less than a minute, when all forget it
        while told() > 1:
            assert time.monotonic() < deadline


def test_what_the_kernel_does_not_answer_is_no_empty_list() -> None:
    with pytest.raises(OSError, match="sock_diag"):
        list(connections._open(255))


def test_that_the_kernel_does_not_tell_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_SOCK_DIAG", 31)  # a protocol that no kernel has
    with pytest.raises(RuntimeUnavailable, match="the kernel does not tell who"):
        connections.of_others({6878})


def test_one_look_tells_of_all_ports_and_names_the_connections(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        subprocess.Popen(
            [sys.executable, "-c", _CALL, "127.0.0.1", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as caller,
    ):
        assert caller.stdout
        assert caller.stdout.readline() == "connected\n"
        other_port = other.getsockname()[1]
        first = of_others({port, other_port})
        assert (len(first[port]), first[other_port]) == (1, frozenset())
        assert of_others({port, other_port}) == first  # nor has anybody accepted it so far
        caller.communicate("")


PORT = 19000
LISTENING, ESTABLISHED, FIN_WAIT, CLOSE_WAIT = 10, 1, 5, 8
AGAIN, KEPT_ALIVE, PROBED = 1, 2, 4  # timers
End = tuple[str, int]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Callable[..., frozenset[str]]:
    """What is told of these sockets."""
    monkeypatch.setattr(connections, "_our_sockets", lambda: {100})

    def told(*v4: bytes, v6: tuple[bytes, ...] = ()) -> frozenset[str]:
        kernel = {socket.AF_INET: v4, socket.AF_INET6: v6}
        monkeypatch.setattr(
            connections, "_open", lambda family: map(connections._SOCKET.unpack, kernel[family])
        )
        return of_others([PORT])[PORT]

    return told


def one(
    local: End,
    remote: End,
    state: int = ESTABLISHED,
    timer: int = 0,
    times: int = 0,
    inode: int = 200,
    mapped: bool = False,
) -> bytes:
    """A socket, as struct inet_diag_msg of linux/inet_diag.h has it."""
    ports = struct.pack(">HH", local[1], remote[1])
    addresses = b"".join(
        bytes(10) + b"\xff\xff" + socket.inet_aton(host)
        if mapped
        else socket.inet_aton(host) + bytes(12)
        for host, _ in (local, remote)
    )
    head = bytes([socket.AF_INET6 if mapped else socket.AF_INET, state, timer, times])
    # The interface, a cookie, when the timer ends, bytes that wait at both sides, the user.
    return head + ports + addresses + struct.pack("=IQIIIII", 0, 7, 50, 0, 4096, 1000, inode)


LISTENS = one(("0.0.0.0", PORT), ("0.0.0.0", 0), LISTENING)
ENGINE, FAR = ("192.168.0.1", PORT), ("192.168.0.5", 49153)
HERE = ("127.0.0.1", 49153)


def test_a_far_end_on_another_host_counts(table: Callable[..., frozenset[str]]) -> None:
    told = table(LISTENS, one(ENGINE, FAR))
    assert len(told) == 1
    assert table(LISTENS, v6=(one(ENGINE, FAR, mapped=True),)) == told
    assert table(LISTENS, one(ENGINE, HERE)) not in (told, frozenset())


def test_a_far_end_on_this_host_counts_unless_it_is_ours(
    table: Callable[..., frozenset[str]],
) -> None:
    assert len(table(LISTENS, one(ENGINE, HERE), one(HERE, ENGINE, inode=201))) == 1
    assert not table(LISTENS, one(ENGINE, HERE), one(HERE, ENGINE, inode=100))
    ours = one(HERE, ENGINE, inode=100, mapped=True)
    assert not table(LISTENS, one(ENGINE, HERE), v6=(ours,))
    # Ours, closed while the kernel was asked.
    assert not table(LISTENS, one(ENGINE, HERE), one(HERE, ENGINE, FIN_WAIT, inode=0))


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"state": CLOSE_WAIT}, False),  # it has closed its side
        ({"timer": AGAIN, "times": 5}, True),
        ({"timer": AGAIN, "times": 6}, False),
        ({"timer": KEPT_ALIVE, "times": 3}, True),
        ({"timer": KEPT_ALIVE, "times": 4}, False),
        ({"timer": PROBED, "times": 3}, True),
        ({"timer": PROBED, "times": 4}, False),
    ],
)
def test_who_is_gone_without_a_word_does_not_count(
    table: Callable[..., frozenset[str]], fields: dict[str, Any], counts: bool
) -> None:
    assert bool(table(LISTENS, one(ENGINE, FAR, **fields))) == counts


def test_where_nobody_listens_nobody_is_served(table: Callable[..., frozenset[str]]) -> None:
    """A connection of somebody else's from a port an engine has not taken yet."""
    assert not table(one(ENGINE, FAR))
