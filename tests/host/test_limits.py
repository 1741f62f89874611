"""What an engine may use and print, who may ask for what, and what the log tells of the service."""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from acekeeper.adapters.engine_logs import LARGEST

from . import deploying, image
from .asking import KEY
from .deploying import Deployer, as_user, engine_pid, show, starts
from .lab import Host, Lab
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

READ_KEY = "a-key-that-only-reads"
ROOM = {
    "MIN_REPLICAS": 2,
    "MAX_REPLICAS": 4,
    "ENGINE_GRACE_PERIOD_S": 86400,  # so that none goes for being one too many
}
SETTINGS = ROOM | {"ENGINE_MEMORY_MAX": "1G", "ENGINE_CPU_WEIGHT": 50}
PEERS = "21000-21007"  # of twice as many engines
LOGS = "/var/lib/acekeeper/.local/state/acekeeper/logs"
OTHERS = (
    *("acekeeper.service", "acekeeper.socket", "acekeeper-gateway.socket"),
    *(f"acekeeper-sweep@{kind}.timer" for kind in ("health", "streams", "scale")),
)
SETTINGS_ALONE = "--tags=settings"
# To where the engine itself prints.
FLOOD = """
import sys
with open(f"/proc/{sys.argv[1]}/fd/1", "w") as printed:
    for n in range(100_000):
        printed.write(f"flood {n} {'x' * 80}\\n")
"""
# All at once, or the connection that does it would end with its first line.
THEIR_FIREWALL = """
table inet theirs {
    chain input {
        type filter hook input priority 10; policy drop;
        iif lo accept
        ct state established,related accept
        tcp dport 22 accept
    }
}
"""


@dataclass(frozen=True)
class Limited:
    host: Host
    deployer: Deployer

    def ask(self, path: str, key: str = KEY, method: str = "GET", options: str = "") -> Any:
        """The answer, and its status behind it."""
        url = f"http://127.0.0.1:8000{path}"
        curl = f"curl -s -X {method} -w ' %{{http_code}}' {options}"
        said = self.host.ssh(f"{curl} -H 'Authorization: Bearer {key}' '{url}'").stdout
        body, _, status = said.rpartition(" ")
        return (json.loads(body) if body.startswith(("{", "[")) else body), int(status)

    def log(self, kind: str) -> list[dict[str, Any]]:
        """The newest first."""
        entries, _ = self.ask(f"/log?kind={kind}")
        found: list[dict[str, Any]] = entries
        return found

    def an_engine(self) -> str:
        """The unit of one that runs and is ready."""
        engine = self.ask("/engines")[0][0]
        return f"engine@{engine['port']}.service"

    def is_ready(self) -> bool:
        answer, status = self.ask("/health/ready")
        return status == 200 and answer["ready"] is True

    def reaches(self, port: int) -> bool:
        """Whether this machine does, which is another one on the host's network."""
        try:
            socket.create_connection((self.host.address, port), timeout=3).close()
        except TimeoutError:  # dropped
            return False
        return True


def port_of(unit: str) -> int:
    return int(unit.partition("@")[2].partition(".")[0])


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    host = lab.up(131)
    deployer = Deployer(tmp_path_factory.mktemp("limited"), [host], {})
    deployer.variables |= {
        **deploying.from_archive(image.build(tmp_path_factory.mktemp("image"))),
        "acekeeper_settings": SETTINGS,
        "acekeeper_api_key": KEY,
        "acekeeper_api_key_read": READ_KEY,
        "acekeeper_firewall": True,
    }
    deployer.deploy()
    limited = Limited(host, deployer)
    until(limited.is_ready)
    yield limited
    lab.down(131)


@pytest.fixture
def limited(deployed: Limited) -> Limited:
    """With its free engines again, whichever a test before ended."""
    until(lambda: len(deployed.ask("/engines")[0]) >= ROOM["MIN_REPLICAS"])
    return deployed


def test_a_change_of_limits_restarts_nothing_and_the_next_run_tells_of_it(limited: Limited) -> None:
    host, deployer = limited.host, limited.deployer
    unit = limited.an_engine()

    def limits() -> list[str]:
        return [show(host, unit, name) for name in ("MemoryMax", "CPUWeight")]

    assert limits() == [f"{1 << 30}", "50"]
    before = starts(host, unit, *OTHERS)
    deployer.variables["acekeeper_settings"] = ROOM | {"ENGINE_CPU_WEIGHT": 200}
    deployer.deploy(SETTINGS_ALONE)
    assert limits() == ["infinity", "200"]
    assert before.items() <= starts(host, unit, *OTHERS).items()  # successors come first

    *_, first = limited.log("service_started")
    assert "last_end" not in first["data"]
    assert limited.log("settings_changed") == []
    for does, last_end in (("kill -s KILL", "killed"), ("restart", "stopped")):
        runs = len(limited.log("service_started"))
        as_user(host, f"systemctl --user {does} acekeeper.service")
        until(lambda runs=runs: len(limited.log("service_started")) > runs)  # type: ignore[misc]
        assert limited.log("service_started")[0]["data"]["last_end"] == last_end
    [changed] = limited.log("settings_changed")
    assert changed["data"] == {"names": ["ENGINE_CPU_WEIGHT", "ENGINE_MEMORY_MAX"]}
    deployer.variables["acekeeper_settings"] = SETTINGS


def test_a_key_that_only_reads_reads_and_changes_nothing(limited: Limited) -> None:
    foreign = "-H 'Host: elsewhere.example'"
    engines, status = limited.ask("/engines", READ_KEY, options=foreign)
    assert status == 200
    assert engines
    metrics, status = limited.ask("/metrics", READ_KEY, options=foreign)
    assert status == 200
    assert "orch_" in metrics
    for method, path in (("POST", "/scale/0"), ("DELETE", "/containers/absent")):
        refused, status = limited.ask(path, READ_KEY, method)
        assert status == 403
        assert "may only read" in refused["detail"]
        assert limited.ask(path, KEY, method)[1] in (200, 404), path


def test_an_engine_that_prints_without_end_fills_neither_disk_nor_journal(
    limited: Limited, tell: Callable[[str], None]
) -> None:
    host = limited.host
    unit = limited.an_engine()
    port = port_of(unit)
    log = f"{LOGS}/engine-{port}.log"
    since = host.ssh("date +@%s").stdout.strip()
    journal = f"journalctl -o cat --since={since}"
    pid = engine_pid(host, unit, "python3 -m acekeeper.emulator")
    host.ssh(f"python3 - {pid}", stdin=FLOOD)
    until(lambda: "flood 99999 " in host.ssh(f"tail -n 1 {log}").stdout)
    size = int(host.ssh(f"stat -c %s {log}").stdout)
    assert size <= LARGEST
    tell(f"of 9 MB that an engine printed at once {size:,} bytes are kept")
    assert host.ssh(f"{journal} | grep -c flood || true").stdout.strip() == "0"
    # What acekeeper itself has to say is not lost meanwhile.
    assert limited.ask("/absent")[1] == 404
    ours = f'{journal} _SYSTEMD_USER_UNIT=acekeeper.service | grep -c \'"path":"/absent"\''
    until(lambda: host.ssh(f"{ours} || true").stdout.strip() == "1")
    # It is read through Podman as before, and is there when the engine is gone.
    found, _ = limited.ask("/engines?include=all")
    [container_id] = [engine["container_id"] for engine in found if engine["port"] == port]
    said, status = limited.ask(f"/containers/{container_id}/logs?tail=1")
    assert (status, said.split()[:2]) == (200, ["flood", "99999"])
    host.ssh(f"kill -9 {pid}")
    until(lambda: limited.log("engine_died") != [])
    assert limited.log("engine_died")[0]["engine"] == f"engine-{port}"
    assert "flood 99998" in host.ssh(f"tail -n 3 {log}").stdout
    # Another one that is free makes up for it; without any, one starts in its place.
    for engine in found:
        if engine["container_id"] not in (container_id, None):
            limited.ask(f"/containers/{engine['container_id']}", method="DELETE")
    until(lambda: replaced(limited) != [])
    assert replaced(limited)[-1] == f"engine-{port}"


def replaced(limited: Limited) -> list[str]:
    """By the starts so far; the newest first."""
    told = (entry["data"] for entry in limited.log("engine_starting"))
    return [data["replaces"] for data in told if "replaces" in data]


def test_a_firewall_of_the_hosts_own_is_not_touched_and_told_of(limited: Limited) -> None:
    host, deployer = limited.host, limited.deployer

    def is_reached() -> bool:
        """By peers; whichever engine is there."""
        return limited.reaches(port_of(limited.an_engine()) + 2000)

    until(is_reached)
    host.ssh("nft -f -", stdin=THEIR_FIREWALL)
    assert not is_reached()  # whatever acekeeper's own table accepts
    assert f"dport {PEERS} accept" in host.ssh("nft list table inet acekeeper").stdout
    theirs = host.ssh("nft list table inet theirs").stdout

    told = deployer.deploy(SETTINGS_ALONE)
    assert host.ssh("nft list table inet theirs").stdout == theirs
    [line] = [line for line in told.output.splitlines() if "nft insert rule" in line]
    command = json.loads(line.strip().rstrip(",")).partition("nftables: ")[2].partition(" (and")[0]
    host.ssh(command)
    until(is_reached)
    assert "nft insert rule" not in deployer.deploy(SETTINGS_ALONE).output
    host.ssh("nft delete table inet theirs")


def test_status_says_what_to_forward(limited: Limited) -> None:
    settings = "SETTINGS_FILE=/etc/acekeeper/settings.env RUNTIME=quadlet"
    said = as_user(limited.host, f"{settings} /opt/acekeeper/current/bin/acekeeper status")
    own = limited.host.address
    assert f"TCP and UDP {PEERS} on the router to {own}\n" in said
