"""Who is connected, on real sockets."""

import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from acekeeper.adapters import connections
from acekeeper.adapters.connections import has_others, of_others

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
    read = connections._rows

    def read_and_close(wanted: Collection[str]) -> Iterator[connections._Row]:
        yield from read(wanted)
        ours.close()

    monkeypatch.setattr(connections, "_rows", read_and_close)
    with socket.create_connection(listener.getsockname()) as ours:
        assert not has_others(listener.getsockname()[1])


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


HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
LISTENS = "0: 00000000:4A38 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1 0 7 1\n"
PORT = 0x4A38


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., frozenset[str]]:
    """What is told of a table with these lines."""
    (tmp_path / "net").mkdir()
    monkeypatch.setattr(connections, "_our_sockets", lambda: {"100"})
    monkeypatch.setattr(connections, "_PROC", tmp_path)

    def told(*lines: str, tcp6: tuple[str, ...] = ()) -> frozenset[str]:
        (tmp_path / "net" / "tcp").write_text("".join((HEAD, *lines)))
        if tcp6:
            (tmp_path / "net" / "tcp6").write_text("".join((HEAD, *tcp6)))
        return of_others([PORT])[PORT]

    return told


def line(
    local: str,
    remote: str,
    state: str = "01",
    queued: int = 0,
    repeated: int = 0,
    probes: int = 0,
    inode: int = 200,
) -> str:
    return (
        f"  12: {local} {remote} {state} {queued:08X}:00000000 01:00000014 {repeated:08X}"
        f"  1000        {probes} {inode} 2 0000000000000000 20 4 30 10 -1\n"
    )


ENGINE, FAR = "0100A8C0:4A38", "0500A8C0:C001"
HERE = "0100007F:C001"


def test_a_far_end_on_another_host_counts(table: Callable[..., frozenset[str]]) -> None:
    assert table(LISTENS, line(ENGINE, FAR)) == {FAR}
    mapped = "0000000000000000FFFF0000"
    assert table(LISTENS, tcp6=(line(mapped + ENGINE, mapped + FAR),)) == {FAR}


def test_a_far_end_on_this_host_counts_unless_it_is_ours(
    table: Callable[..., frozenset[str]],
) -> None:
    assert table(LISTENS, line(ENGINE, HERE), line(HERE, ENGINE, inode=201)) == {HERE}
    assert table(LISTENS, line(ENGINE, HERE), line(HERE, ENGINE, inode=100)) == frozenset()
    mapped = "0000000000000000FFFF0000"
    ours = line(mapped + HERE, mapped + ENGINE, inode=100)
    assert table(LISTENS, line(ENGINE, HERE), tcp6=(ours,)) == frozenset()
    # Ours, closed while the table was read.
    assert table(LISTENS, line(ENGINE, HERE), line(HERE, ENGINE, "05", inode=0)) == frozenset()


@pytest.mark.parametrize(
    ("fields", "counts"),
    [
        ({"state": "08"}, False),  # it has closed its side
        ({"queued": 4096, "repeated": 5}, True),
        ({"queued": 4096, "repeated": 6}, False),
        ({"repeated": 6}, True),
        ({"queued": 4096}, True),
        ({"probes": 3}, True),
        ({"probes": 4}, False),
    ],
)
def test_who_is_gone_without_a_word_does_not_count(
    table: Callable[..., frozenset[str]], fields: dict[str, Any], counts: bool
) -> None:
    assert bool(table(LISTENS, line(ENGINE, FAR, **fields))) == counts


def test_where_nobody_listens_nobody_is_served(table: Callable[..., frozenset[str]]) -> None:
    """A connection of somebody else's from a port an engine has not taken yet."""
    assert table(line(ENGINE, FAR)) == frozenset()


def test_ten_thousand_connections_of_others_are_passed_over(
    table: Callable[..., frozenset[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    whole = connections._row

    def counted(fields: list[str]) -> connections._Row:
        read.append(fields)
        return whole(fields)

    monkeypatch.setattr(connections, "_row", counted)
    others = [line(f"0100007F:{n:04X}", "0100007F:1F40") for n in range(0x5000, 0x5000 + 10_000)]
    assert table(LISTENS, *others, line(ENGINE, FAR)) == {FAR}
    assert len(read) == 2
