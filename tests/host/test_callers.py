"""Who is connected to an engine from somewhere else: from another network namespace, as a
container's or another host's players are. These need root, and no host from the lab."""

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from acekeeper.adapters.connections import of_others
from acekeeper.adapters.processes import stop_all

from ..running import Service, settings, until

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace: needs root"),
]

CALL = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))):
    print("connected", flush=True)
    sys.stdin.read()
"""
CHANNEL = "c" * 40


@dataclass(frozen=True)
class Elsewhere:
    """Another network namespace, and this host as it is seen from there."""

    namespace: str
    link: str
    here: str

    @contextmanager
    def connected(self, port: int) -> Iterator[None]:
        with subprocess.Popen(
            self.command(sys.executable, "-c", CALL, self.here, str(port)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as caller:
            assert caller.stdout
            assert caller.stdout.readline() == "connected\n"
            try:
                yield
            finally:
                caller.communicate("")

    def switch_off(self) -> None:
        _run("ip", "-n", self.namespace, "link", "set", self.link, "down")

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *words]


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    name = secrets.token_hex(4)
    namespace, ours, theirs = f"ace-{name}", f"ace{name}a", f"ace{name}b"
    net = f"10.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}"
    with ExitStack() as stack:
        _run("ip", "netns", "add", namespace)
        stack.callback(_run, "ip", "netns", "del", namespace)
        _run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs)
        stack.callback(_run, "ip", "link", "del", ours)
        _run("ip", "link", "set", theirs, "netns", namespace)
        _run("ip", "address", "add", f"{net}.1/30", "dev", ours)
        _run("ip", "link", "set", ours, "up")
        _run("ip", "-n", namespace, "address", "add", f"{net}.2/30", "dev", theirs)
        _run("ip", "-n", namespace, "link", "set", theirs, "up")
        yield Elsewhere(namespace, theirs, f"{net}.1")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=30)


def test_a_caller_from_another_network_namespace_is_seen_until_it_ends(
    elsewhere: Elsewhere,
) -> None:
    with socket.create_server(("", 0)) as listener:
        port = listener.getsockname()[1]
        assert of_others({port}) == {port: frozenset()}
        with elsewhere.connected(port):
            accepted, _ = listener.accept()
            with closing(accepted):
                assert len(of_others({port})[port]) == 1
        assert of_others({port}) == {port: frozenset()}


def test_a_caller_that_is_switched_off_counts_no_more(elsewhere: Elsewhere) -> None:
    """The kernel calls it connected for a quarter of an hour."""
    with socket.create_server(("", 0)) as listener:
        port = listener.getsockname()[1]
        with elsewhere.connected(port):
            accepted, _ = listener.accept()
            with closing(accepted):
                elsewhere.switch_off()
                accepted.sendall(b"a picture")
                assert len(of_others({port})[port]) == 1
                until(lambda: not of_others({port})[port])
                assert accepted.getpeername()  # and yet it is not closed


def test_an_engine_somebody_elsewhere_waits_for_in_vain_is_doubted(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    """By the real service; the caller may be a container's."""
    environ = settings(
        tmp_path,
        MIN_REPLICAS="2",
        MAX_REPLICAS="2",
        AUTO_DELETE="false",
        MONITOR_INTERVAL_S="0.5",
        ENGINE_COMMAND="{python} -m acekeeper.emulator --http-port {http_port}"
        " --start-delay 0 --bind-all",
    )
    service = Service(environ, tmp_path)
    try:
        service.wait_for("serving")
        until(lambda: len(_get(service, "/engines")) == 2)
        playing, waited_for = (engine["port"] for engine in _get(service, "/engines"))
        getstream = f"http://127.0.0.1:{playing}/ace/getstream?infohash={CHANNEL}&format=json"
        session = _read(Request(getstream))["response"]
        _post(service, "/events/stream_started", _started(playing, session))
        until(lambda: any(s["speed_down"] for s in _get(service, "/streams/it/stats")))
        with elsewhere.connected(waited_for):
            doubted = service.wait_for("playback_doubted")
            assert doubted["why"] == "connection"
            assert doubted["engine"] == f"engine-{waited_for}"
            assert [e["port"] for e in _get(service, "/engines")] == [playing]
        service.wait_for("playback_tried")
        until(lambda: len(_get(service, "/engines")) == 2)
    finally:
        service.kill()
        stop_all(Path(environ["STATE_DIR"]))


def _started(port: int, session: dict[str, object]) -> dict[str, object]:
    told = ("playback_session_id", "stat_url", "command_url", "is_live")
    return {
        "engine": {"host": "127.0.0.1", "port": port},
        "stream": {"key_type": "infohash", "key": CHANNEL},
        "session": {name: session[name] for name in told},
        "labels": {"stream_id": "it"},
    }


def _get(service: Service, path: str) -> list[dict[str, Any]]:
    host, port = service.address
    found: list[dict[str, Any]] = _read(Request(f"http://{host}:{port}{path}"))
    return found


def _post(service: Service, path: str, event: object) -> None:
    host, port = service.address
    head = {"Content-Type": "application/json"}
    _read(Request(f"http://{host}:{port}{path}", json.dumps(event).encode(), head))


def _read(request: Request) -> Any:
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)
