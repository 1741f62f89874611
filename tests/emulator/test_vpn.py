"""The emulated VPN: what it answers, to the letter of Gluetun's, and its faults."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from acekeeper.adapters.net_dev import counted
from acekeeper.emulator.vpn.kinds import KINDS
from acekeeper.emulator.vpn.options import OPTIONS, Flags

from ..ports import free_port
from .running import LIMIT_S, Running, are_silent, call, until
from .vpn import KEY, Vpn

Start = Callable[..., Vpn]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def start_one(*options: str, key: str = "") -> Vpn:
            vpn = Vpn(*options, key=key)
            stack.callback(vpn.end)
            return vpn

        yield start_one


@pytest.fixture
def vpn(start: Start) -> Vpn:
    return start("--forwarded-port", "43210").ready()


def test_answers_as_gluetun_does(start: Start) -> None:
    vpn = start("--public-ip", "203.0.113.7", "--country", "Norway").ready()
    assert vpn.get("/v1/vpn/status").body == b'{"status": "running"}'
    address = vpn.get("/v1/publicip/ip").json
    assert (address["public_ip"], address["country"]) == ("203.0.113.7", "Norway")
    assert {"region", "city", "location", "organization", "timezone"} <= address.keys()
    assert vpn.get("/v1/portforward").body == b'{"port": 0}'
    assert vpn.is_healthy()
    assert vpn.get("/v1/dance").status == 404
    assert call(vpn.control, "PUT", "/v1/vpn/status", "{}").status == 404


def test_sends_who_asks_by_the_older_route_to_the_newer_one(vpn: Vpn) -> None:
    assert vpn.get("/v1/portforward").body == b'{"port": 43210}'
    moved = vpn.get("/v1/openvpn/portforwarded")
    assert (moved.status, moved.headers["Location"]) == (301, "/v1/portforward")


def test_has_no_tunnel_before_its_time(start: Start) -> None:
    vpn = start("--start-delay", "0.5").ready()
    assert not vpn.is_healthy()
    assert vpn.get("/v1/publicip/ip").body == b'{"public_ip": ""}'
    until(vpn.is_healthy)


def test_asks_for_its_key_and_takes_no_other(start: Start) -> None:
    vpn = start(key=KEY).ready()
    for key in ("", KEY.upper()):
        refused = vpn.get("/v1/publicip/ip", key)
        assert (refused.status, refused.body) == (401, b"Unauthorized")
    assert vpn.get("/v1/publicip/ip", KEY).status == 200
    assert vpn.is_healthy(), "the health server asks for none"


def test_a_key_of_the_control_server_may_be_refused(vpn: Vpn) -> None:
    vpn.fault("unauthorized")
    assert vpn.get("/v1/publicip/ip").status == 401


def test_loses_its_tunnel_and_has_it_back(vpn: Vpn) -> None:
    vpn.fault("lost")
    assert not vpn.is_healthy()
    assert vpn.get("/v1/publicip/ip").json == {"public_ip": ""}
    assert vpn.get("/v1/portforward").json == {"port": 0}
    vpn.clear()
    assert vpn.is_healthy()


def test_what_its_servers_say_may_differ(vpn: Vpn) -> None:
    vpn.fault("unhealthy")
    assert not vpn.is_healthy()
    assert vpn.get("/v1/publicip/ip").json["public_ip"]
    vpn.clear()
    vpn.fault("no_public_ip")
    assert vpn.is_healthy()
    assert not vpn.get("/v1/publicip/ip").json["public_ip"]


def test_another_port_is_forwarded_or_none_or_two(vpn: Vpn) -> None:
    vpn.fault("port", amount=50001)
    assert vpn.get("/v1/portforward").json == {"port": 50001}
    vpn.fault("port")
    assert vpn.get("/v1/portforward").json == {"port": 0}
    vpn.clear()
    vpn.fault("several_ports")
    assert vpn.get("/v1/portforward").json == {"ports": [43210, 43211]}


def test_a_port_flaps(vpn: Vpn) -> None:
    vpn.fault("port_flaps", amount=0.1)
    ports: set[int] = set()

    def three() -> bool:
        ports.add(vpn.get("/v1/portforward").json["port"])
        return len(ports) >= 3

    until(three)
    assert all(1024 <= port < 2024 for port in ports)


@pytest.mark.parametrize(("kind", "status"), [("older", 404), ("moved", 301)])
def test_answers_as_an_older_version(vpn: Vpn, kind: str, status: int) -> None:
    vpn.fault(kind)  # fault("older"), fault("moved")
    assert vpn.get("/v1/portforward").status == status
    assert vpn.get("/v1/openvpn/portforwarded").json == {"port": 43210}


def test_its_answers_are_huge_or_break_off(vpn: Vpn) -> None:
    vpn.fault("huge")
    assert len(vpn.get("/v1/publicip/ip").body) > 1 << 20
    vpn.clear()
    whole = vpn.get("/v1/publicip/ip").body
    vpn.fault("bad_json")
    assert vpn.get("/v1/publicip/ip").body == whole[: len(whole) // 2]


def asked(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), LIMIT_S)
    client.sendall(b"GET / HTTP/1.1\r\nHost: vpn\r\n\r\n")
    return client


def test_hangs_and_goes_on(vpn: Vpn) -> None:
    vpn.fault("hang")
    with asked(vpn.control) as control, asked(vpn.health) as health:
        assert are_silent(control, health)
        vpn.clear()
        assert control.recv(8) == health.recv(8) == b"HTTP/1.1"
    vpn.fault("hang_control")
    with asked(vpn.control) as control:
        assert are_silent(control)
        assert vpn.is_healthy()


def traffic(path: Path) -> tuple[int, int]:
    found = counted(path, "tun0")
    assert found is not None
    return found


def test_counts_what_goes_through_its_tunnel(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "net-dev"
    vpn = start("--net-dev", str(path)).ready()
    until(lambda: min(traffic(path)) > 0)
    vpn.fault("dead")
    received, sent = traffic(path)
    until(lambda: traffic(path)[1] > sent + 10_000)
    assert traffic(path)[0] <= received + 4_000, "the look at the fault may be the older"
    assert vpn.is_healthy(), "it does not know"


def test_counters_that_cannot_be_written_are_no_reason_to_end(start: Start) -> None:
    vpn = start("--net-dev", "/nowhere/net-dev")
    vpn.wait_for_line("cannot write /nowhere/net-dev: No such file or directory")
    assert vpn.ready().is_healthy()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_on_a_signal_while_it_hangs(vpn: Vpn, number: signal.Signals) -> None:
    vpn.fault("hang")
    vpn.process.send_signal(number)
    assert vpn.exit_code() == 0


def test_crashes_when_told(vpn: Vpn) -> None:
    assert vpn.admin("POST", "/crash", {"signal": "SIGKILL"}).status == 200
    assert vpn.exit_code() == -signal.SIGKILL


def test_its_faults_are_shown_and_cleared_by_kind(vpn: Vpn) -> None:
    vpn.fault("port", amount=7, duration_s=60)
    vpn.fault("lost")
    shown = vpn.admin("GET", "/faults").json["faults"]
    assert [(fault["kind"], fault["amount"]) for fault in shown] == [("port", 7), ("lost", None)]
    [left] = vpn.admin("DELETE", "/faults/port").json["faults"]
    assert left["kind"] == "lost"
    assert vpn.admin("POST", "/faults", {"kind": "stall"}).status == 400


def test_refuses_an_option_it_cannot_use_and_a_port_that_is_taken(start: Start, vpn: Vpn) -> None:
    bad = start("--forwarded-port", "many")
    bad.wait_for_line("bad option: --forwarded-port needs a number")
    assert bad.exit_code() == 2
    second = start("--control-port", str(vpn.control))
    second.wait_for_line(f"cannot listen on port {vpn.control}: Address already in use\n")
    assert second.exit_code() == 1


def test_shows_its_options_and_starts_nothing() -> None:
    shown = Running("vpn", "--control-port", str(free_port()), "--help")
    try:
        for option in OPTIONS:
            shown.wait_for_line(f"  {option} ")
        assert shown.exit_code() == 0
    finally:
        shown.end()
    assert [option.name.replace("-", "_") for option in OPTIONS] == [*Flags._fields]


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_is_tested(kind: str) -> None:
    assert f'fault("{kind}"' in Path(__file__).read_text()
