"""A host is emptied without cutting a stream, by hand and by the playbook; and what it keeps is
backed up, lost and restored."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import deploying
from .asking import KEY, Asked
from .deploying import USER, Deployer, Play, as_user, engines, show, starts
from .lab import Host, Lab
from .viewing import Viewing
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

MIN_REPLICAS = 2
SETTINGS = {
    "MIN_REPLICAS": MIN_REPLICAS,
    "MAX_REPLICAS": 6,
    "MONITOR_INTERVAL_S": 5,
    "ENGINE_GRACE_PERIOD_S": 86400,  # so that none goes for being one too many
}
FILES = "SETTINGS_FILE=/etc/acekeeper/settings.env RUNTIME=quadlet"
COMMAND = f"{FILES} /opt/acekeeper/current/bin/acekeeper"
DATABASE = "/var/lib/acekeeper/.local/state/acekeeper/acekeeper.db"
KEPT = "/root/kept.tar.gz"
CHANNEL = f"infohash={'c' * 40}"


@dataclass(frozen=True)
class Deployed(Asked):
    deployer: Deployer

    def run(self, words: str) -> str:
        return as_user(self.host, f"{COMMAND} {words}")

    def engines(self) -> int:
        return len(engines(self.host))

    def code(self, curl: str) -> str:
        """The status of an answer."""
        return self.host.ssh(f"curl -s -o /dev/null -w '%{{http_code}}' {curl}").stdout


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    host = lab.up(91)
    deployer = deploying.deploy(host, tmp_path_factory.mktemp("deployed"), SETTINGS, KEY)
    yield Deployed(host, deployer)
    lab.down(91)


@pytest.fixture
def viewing(deployed: Deployed) -> Iterator[Viewing]:
    with Viewing(deployed.host, KEY) as viewing:
        until(lambda: viewing.free() >= MIN_REPLICAS)
        yield viewing
        viewing.do("leave")
        deployed.run("drain --undo")


def test_a_host_becomes_empty_without_cutting_a_stream_and_stays_so(
    deployed: Deployed, viewing: Viewing, tell: Callable[[str], None]
) -> None:
    host = deployed.host
    begun = viewing.do("begin", 2)
    theirs = {f"engine@{viewer['port']}.service" for viewer in begun}
    deployed.run("drain --all")
    status = deployed.status()
    assert status["maintenance"]
    assert status["provisioning"]["can_provision"] is False
    assert "maintenance" in status["provisioning"]["blocked_reason_details"]["message"]
    refused = viewing.do("post", "/provision/acestream")
    assert refused["code"] == 503
    assert "maintenance" in refused["body"]["detail"]["message"]
    assert deployed.code(f"'http://127.0.0.1:6878/ace/getstream?{CHANNEL}'") == "503"
    host.ssh(f"kill -9 {show(host, 'acekeeper.service', 'MainPID')}")
    waited = until(lambda: engines(host).keys() == theirs)
    tell(f"free engines had stopped {waited:.0f} s after the drain began, and a kill -9")
    assert deployed.status()["maintenance"] == status["maintenance"]
    assert viewing.do("playing") == [True, True]
    assert viewing.do("leave") == [True, True]
    said = host.ssh(
        f"cd / && sudo -u {USER} {COMMAND} drain --all --wait 300", timeout_s=400
    ).stdout
    assert said.splitlines()[-1] == "left: 0 engines, 0 streams"
    assert engines(host) == {}
    deployed.run("drain --undo")
    waited = until(lambda: deployed.status()["capacity"]["available"] >= MIN_REPLICAS)
    tell(f"{MIN_REPLICAS} engines were free {waited:.0f} s after the maintenance")
    assert deployed.status()["maintenance"] is None


@pytest.mark.long
def test_it_outlasts_a_reboot(deployed: Deployed) -> None:
    host = deployed.host
    deployed.run("drain --all")
    since = deployed.status()["maintenance"]
    host.reboot()
    until(lambda: deployed.code("http://127.0.0.1:8000/health/ready") == "200")
    assert deployed.status()["maintenance"] == since
    until(lambda: bool(deployed.get("/health/ready")["ready"]))
    as_user(host, "systemctl --user start acekeeper-sweep@scale.service")
    assert engines(host) == {}
    deployed.run("drain --undo")
    until(lambda: deployed.status()["capacity"]["available"] >= MIN_REPLICAS)


@pytest.mark.long
def test_the_playbook_empties_the_host_first_and_lets_viewers_in_after(
    deployed: Deployed, viewing: Viewing
) -> None:
    host, deployer = deployed.host, deployed.deployer
    viewing.do("begin", 1)
    before = engines(host)
    deployer.variables |= {"acekeeper_drain": True, "acekeeper_drain_s": 1}
    failed = deployer.play("deploy.yml", "--tags", "verify", check=False)
    assert failed.status
    assert "is not empty, and nothing was changed there" in failed.output
    assert viewing.do("playing") == [True]
    assert deployed.status()["maintenance"]

    deployer.variables |= {"acekeeper_drain_s": 600}
    plays: list[Play] = []
    deploying_it = threading.Thread(
        target=lambda: plays.append(deployer.play("deploy.yml", check=False))
    )
    deploying_it.start()
    until(lambda: len(engines(host)) == 1)
    assert viewing.do("playing") == [True]
    assert viewing.do("leave") == [True]
    deploying_it.join()
    deployer.variables["acekeeper_drain"] = False
    [play] = plays
    assert not play.status, play.output
    assert deployed.status()["maintenance"] is None
    until(lambda: deployed.status()["capacity"]["available"] >= MIN_REPLICAS)
    assert not set(engines(host).values()) & set(before.values())


def test_a_backup_under_load_brings_a_lost_database_back(
    deployed: Deployed, viewing: Viewing, tell: Callable[[str], None]
) -> None:
    host = deployed.host
    viewing.do("load", 4)
    until(lambda: len(deployed.get("/streams?status=started")) > 100)
    before = {stream["id"] for stream in deployed.get("/streams?status=started")}
    deployed.run(f"backup > {KEPT}")
    report = viewing.do("unload")
    assert report["failed"] == []
    tell(f"{report['calls']} calls beside a backup, none failed, longest {report['longest']} s")
    assert host.ssh(f"tar tzf {KEPT}").stdout.split() == [
        *("manifest.json", "acekeeper.db", "settings.env")
    ]
    log, known = logged(host), starts(host)
    as_user(host, "systemctl --user stop acekeeper.socket acekeeper.service")
    host.ssh(f"rm {DATABASE}*")
    as_user(host, "systemctl --user start acekeeper.service")
    assert not before & {stream["id"] for stream in deployed.get("/streams")}

    said = deployed.run(f"restore - < {KEPT}")
    assert said.startswith("restored the backup of 20")
    assert "settings that differ" not in said
    until(lambda: deployed.code("http://127.0.0.1:8000/health/ready") == "200")
    assert before <= {stream["id"] for stream in deployed.get("/streams?limit=10000")}
    theirs = of_the_backup(logged(host))
    assert theirs == log[: len(theirs)] != []
    assert starts(host) == known, "no engine was stopped or started for it"
    units = "acekeeper.socket acekeeper-gateway.socket acekeeper-sweep@{health,streams,scale}.timer"
    assert as_user(host, f"systemctl --user is-active {units}").split() == ["active"] * 5
    mode = host.ssh(f"stat -c '%a %U' {DATABASE} {DATABASE}-wal").stdout.split("\n")[:2]
    assert mode == ["600 acekeeper"] * 2
    settings = deployed.run(f"restore --settings - < {KEPT}")
    assert settings == host.ssh("cat /etc/acekeeper/settings.env").stdout


def logged(host: Host) -> list[str]:
    """All rows of the log, the oldest first."""
    rows = "SELECT id, ts, kind, stream, data FROM log ORDER BY id"
    reads = f"import sqlite3; db = sqlite3.connect('file:{DATABASE}?mode=ro', uri=True)"
    script = f"{reads}; [print(*row) for row in db.execute('{rows}')]"
    return as_user(host, f'/opt/acekeeper/current/bin/python -c "{script}"').splitlines()


def of_the_backup(log: list[str]) -> list[str]:
    """What a restored log has from before."""
    at = next(n for n, row in enumerate(log) if row.split()[2] == "log_restored")
    return log[:at]


@pytest.mark.long
def test_a_fresh_host_gets_the_history_of_another(
    deployed: Deployed, viewing: Viewing, lab: Lab, tmp_path: Path
) -> None:
    viewing.do("begin", 1)
    viewing.do("leave")
    deployed.run(f"backup > {KEPT}")
    log = logged(deployed.host)
    streams = {stream["id"] for stream in deployed.get("/streams?limit=10000")}
    archive = deployed.host.ssh(f"base64 -w0 {KEPT}").stdout
    other = lab.up(92)
    try:
        deploying.deploy(other, tmp_path, SETTINGS, KEY)
        other.ssh(f"base64 -d > {KEPT}", stdin=archive)
        said = as_user(other, f"{COMMAND} restore - < {KEPT}")
        assert said.startswith("restored the backup of 20")
        there = Asked(other)
        until(lambda: bool(there.get("/health/ready")["ready"]))
        theirs = of_the_backup(logged(other))
        assert theirs == log[: len(theirs)] != []
        restored = {stream["id"] for stream in there.get("/streams?limit=10000")}
        assert restored
        assert restored <= streams
        assert there.get("/streams?status=started") == []
        until(lambda: there.status()["capacity"]["available"] >= MIN_REPLICAS)
    finally:
        lab.down(92)
