"""The generated drop-ins, whole, and how they are written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acekeeper.drop_ins import drop_ins, outdated, write
from acekeeper.errors import AcekeeperError
from acekeeper.settings import load

GOLDEN = Path(__file__).parent / "golden/drop-ins"
ACEKEEPER = str(Path(sys.executable).with_name("acekeeper"))
CASES = {
    "defaults": {},
    "reached-from-outside": {
        "APP_HOST": "192.0.2.7",
        "APP_PORT": "18000",
        "API_KEY": "k",
        "GATEWAY_HOST": "192.0.2.7,198.51.100.7",
        "GATEWAY_PORT": "16878",
        "GATEWAY_ALLOW": "192.0.2.0/24",
        "HEALTH_CHECK_INTERVAL_S": "7.25",
        "MONITOR_INTERVAL_S": "3600",
        "AUTOSCALE_INTERVAL_S": "0.1",
        "API_LONG_OPERATION_TIMEOUT_S": "600",
        "ENGINE_MEMORY_MAX": "1G",
        "ENGINE_CPU_WEIGHT": "50",
    },
    "behind-vpns": {
        "VPNS": "de,ch",
        "VPN_SLOTS": "3",
        "MAX_REPLICAS": "6",
        "PORT_RANGE_HOST": "19000-19007",
        "ENGINE_HOST": "192.0.2.7",
    },
}


@pytest.mark.parametrize("case", CASES)
def test_drop_ins_are_as_they_were(case: str, tmp_path: Path) -> None:
    """Where they are meant to change: `acekeeper settings --drop-ins tests/golden/drop-ins/CASE`,
    with the settings of the case."""
    write(tmp_path, load(CASES[case]))
    assert files(tmp_path) == files(GOLDEN / case)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("localhost", ["127.0.0.1", "[::1]"]),
        ("::1", ["127.0.0.1", "[::1]"]),
        ("127.0.0.2", ["127.0.0.1", "[::1]", "127.0.0.2"]),
        ("2001:db8::7", ["127.0.0.1", "[::1]", "[2001:db8::7]"]),
        ("fe80::7%eth0", ["127.0.0.1", "[::1]", "[fe80::7%%eth0]"]),
        ("0.0.0.0", ["[::1]", "0.0.0.0"]),
        ("::", ["127.0.0.1", "[::]"]),
    ],
)
def test_loopback_is_always_listened_on_and_nothing_twice(host: str, addresses: list[str]) -> None:
    text = drop_ins(load({"APP_HOST": host, "API_KEY": "k"}))["acekeeper.socket.d/listen.conf"]
    first, *streams = [line for line in text.splitlines() if line.startswith("ListenStream=")]
    assert first == "ListenStream="
    assert streams == [f"ListenStream={address}:8000" for address in addresses]


def test_without_a_port_the_gateways_socket_is_never_started() -> None:
    """A condition that does not hold is no failure of the unit."""
    text = drop_ins(load({"GATEWAY_PORT": "0"}))["acekeeper-gateway.socket.d/listen.conf"]
    assert text.endswith("[Unit]\nConditionPathExists=!/\n")


def test_only_what_changed_is_written_and_told(tmp_path: Path) -> None:
    settings = load({})
    mine = tmp_path / "acekeeper.socket.d/mine.conf"
    mine.parent.mkdir()
    mine.write_text("[Socket]\nBacklog=1\n")
    every = [tmp_path / name for name in drop_ins(settings)]

    assert outdated(tmp_path, settings) == every
    assert files(tmp_path) == {"acekeeper.socket.d/mine.conf": "[Socket]\nBacklog=1\n"}
    assert write(tmp_path, settings) == every
    assert outdated(tmp_path, settings) == []
    before = {path: path.stat().st_ino for path in every}
    assert write(tmp_path, settings) == []

    slower = load({"MONITOR_INTERVAL_S": "60"})
    streams = tmp_path / "acekeeper-sweep@streams.timer.d/interval.conf"
    assert write(tmp_path, slower) == [streams]
    kept = {path: path.stat().st_ino for path in every if path != streams}
    assert kept == {path: before[path] for path in kept}
    assert mine.read_text() == "[Socket]\nBacklog=1\n"
    assert len(files(tmp_path)) == len(every) + 1  # nothing half-written lies about


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AcekeeperError, match=r"file/acekeeper\.socket\.d/listen\.conf cannot be"):
        write(tmp_path / "file", load({}))


def test_the_command_names_what_it_changed(tmp_path: Path) -> None:
    def settings(*words: str) -> list[str]:
        command = [ACEKEEPER, "settings", "--drop-ins", str(tmp_path), *words]
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        return subprocess.check_output(command, env=environ, text=True).splitlines()

    every = [str(tmp_path / name) for name in drop_ins(load({}))]
    assert settings("--check") == every
    assert settings() == every
    assert settings("--check") == settings() == []


def files(directory: Path) -> dict[str, str]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_text() for path in found}
