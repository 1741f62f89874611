"""Who is connected, on real sockets."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from acekeeper.adapters import connections
from acekeeper.adapters.connections import has_others

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
    read = connections._established

    def read_and_close(table: str) -> Iterator[connections._End]:
        yield from read(table)
        ours.close()

    monkeypatch.setattr(connections, "_established", read_and_close)
    with socket.create_connection(listener.getsockname()) as ours:
        assert not has_others(listener.getsockname()[1])
