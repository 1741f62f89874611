"""The units under a real systemd: hardening, the watchdog, restarts, sweeps on time."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import deploying
from .lab import Host, Lab
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

KEY = "not-to-be-seen"
UNITS = "/var/lib/acekeeper/.config/systemd/user"
SETTINGS = "/etc/acekeeper/settings.env"
SYSTEMCTL = "systemctl --user -M acekeeper@"
AS_USER = "systemd-run --user -M acekeeper@ --pipe --wait --quiet"
SERVICE = "acekeeper.service"
SWEEP = "acekeeper-sweep@health.service"
TIMERS = [f"acekeeper-sweep@{kind}.timer" for kind in ("health", "streams", "scale")]
RUNNING = [SERVICE, "acekeeper.socket", *TIMERS]
UNIT_FILES = [path.name for path in (Path(__file__).parents[2] / "systemd").iterdir()]

# In the service's own sandbox: what it asks of systemd and of Podman.
PROBE = """\
[Service]
ExecStartPre=busctl --user call org.freedesktop.systemd1 /org/freedesktop/systemd1 \
 org.freedesktop.systemd1.Manager StartUnit ss acekeeper-engines.slice replace
ExecStartPre=/usr/bin/python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); \
 s.connect("%t/podman/podman.sock"); s.sendall(b"GET /_ping HTTP/1.0\\\\r\\\\n\\\\r\\\\n"); \
 assert b" 200 OK" in s.recv(100)'
"""
# Calls on new connections while a command runs; says how many, and how they failed.
CLIENT = """
import http.client, subprocess, sys
command = subprocess.Popen(["sh", "-c", sys.argv[1]])
calls, failed = 0, []
while command.poll() is None:
    calls += 1
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=30)
        connection.request("GET", "/health/ready")
        assert connection.getresponse().status == 200
        connection.close()
    except Exception as error:
        failed.append(repr(error))
print(command.returncode, failed, calls)
"""


@pytest.fixture(scope="module")
def host(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """No engine is kept: these are about what runs beside engines."""
    host = lab.up(41)
    deploying.deploy(host, tmp_path_factory.mktemp("deployed"), {"MIN_REPLICAS": 0}, KEY)
    yield host
    lab.down(41)


@pytest.fixture(autouse=True)
def settled(host: Host) -> None:
    """After the test before the service may still be starting, and a sweep have died with it."""
    until(lambda: are_active(host, RUNNING) and failed(host) == "")


def test_systemd_finds_nothing_wrong_with_them(host: Host) -> None:
    names = " ".join(f"{UNITS}/{name}" for name in UNIT_FILES)
    verified = host.ssh(f"{AS_USER} systemd-analyze --user verify {names} 2>&1", check=False)
    assert (verified.returncode, verified.stdout) == (0, "")


def test_all_of_them_run_and_nothing_has_failed(host: Host) -> None:
    assert are_active(host, RUNNING)
    for unit in RUNNING:
        assert shown(host, unit, "UnitFileState") == "enabled"
    until(lambda: shown(host, SWEEP, "ExecMainExitTimestampMonotonic") != "0")
    assert failed(host) == ""
    listening = host.ssh("ss -Hltn sport = :8000 | awk '{print $4}' | sort").stdout.split()
    assert listening == ["127.0.0.1:8000", "[::1]:8000"]


def test_it_runs_in_a_sandbox_that_still_lets_it_work(host: Host) -> None:
    with drop_in(host, SERVICE, PROBE):
        host.ssh(f"{SYSTEMCTL} restart {SERVICE}")
        assert shown(host, SERVICE, "ActiveState") == "active"
        assert exposure(host, SERVICE) <= 1.7
        assert exposure(host, SWEEP) <= 1.7
    files = host.ssh("find ~acekeeper/.local/state/acekeeper -perm /077").stdout
    assert files == "", "others may read them"


def test_memory_is_taken_from_engines_first(host: Host) -> None:
    pid = shown(host, SERVICE, "MainPID")
    ours = host.ssh(f"cat /proc/{pid}/oom_score_adj").stdout
    others = host.ssh(f"{AS_USER} cat /proc/self/oom_score_adj").stdout
    assert int(ours) < int(others)


def test_no_call_fails_over_restarts_and_every_sweep_goes_on(host: Host) -> None:
    pid = shown(host, SERVICE, "MainPID")
    restarts = f"for n in 1 2 3; do {SYSTEMCTL} restart {SERVICE} || exit; done"
    said = host.ssh(f"python3 - '{restarts}'", stdin=CLIENT, timeout_s=120).stdout
    assert said.startswith("0 [] "), said
    assert int(said.split()[-1]) >= 20
    assert shown(host, SERVICE, "MainPID") != pid
    until(lambda: are_active(host, TIMERS))


def test_killed_it_comes_back_with_its_timers(host: Host) -> None:
    pid = shown(host, SERVICE, "MainPID")
    swept = shown(host, SWEEP, "InvocationID")
    host.ssh(f"kill -9 {pid}")
    until(lambda: shown(host, SERVICE, "MainPID") not in ("0", pid))
    until(lambda: are_active(host, TIMERS))
    until(lambda: shown(host, SWEEP, "InvocationID") != swept)


def test_one_that_stands_still_is_ended_and_says_where_it_stood(host: Host) -> None:
    with drop_in(host, SERVICE, "[Service]\nWatchdogSec=5\n"):
        host.ssh(f"{SYSTEMCTL} restart {SERVICE}")
        pid = shown(host, SERVICE, "MainPID")
        host.ssh(f"kill -STOP {pid}")
        until(lambda: shown(host, SERVICE, "MainPID") not in ("0", pid))
    until(lambda: "most recent call first" in journal(host, f"_PID={pid}"))
    assert "Fatal Python error: Aborted" in journal(host, f"_PID={pid}")


def test_a_failed_sweep_is_seen_until_one_succeeds(host: Host) -> None:
    elsewhere = "[Service]\nEnvironmentFile=\nEnvironment=APP_PORT=9\n"
    with drop_in(host, "acekeeper-sweep@health.service", elsewhere):
        swept = host.ssh(f"{SYSTEMCTL} start {SWEEP}", check=False)
        assert swept.returncode != 0
        assert failed(host).split() == [SWEEP]
        # Of a process that ends at once journald may no longer find out the unit.
        lines = f"_SYSTEMD_USER_UNIT={SWEEP} + SYSLOG_IDENTIFIER=curl"
        until(lambda: "Failed to connect to 127.0.0.1 port 9" in journal(host, lines))
    host.ssh(f"{SYSTEMCTL} start {SWEEP}")
    assert failed(host) == ""
    quiet = host.ssh(f"journalctl -b -g Finished USER_UNIT={SWEEP}", check=False).stdout
    assert "Finished" not in quiet


def test_a_sweep_that_ends_with_the_service_has_not_failed(host: Host) -> None:
    pid = shown(host, SERVICE, "MainPID")
    host.ssh(f"kill -STOP {pid}")  # systemd has it go on when it is to end
    host.ssh(f"{SYSTEMCTL} start --no-block {SWEEP}")
    until(lambda: shown(host, SWEEP, "SubState") == "start")
    host.ssh(f"{SYSTEMCTL} stop {SERVICE}")
    assert failed(host) == ""
    host.ssh(f"{SYSTEMCTL} start {SERVICE}")


def test_a_sweep_never_starts_the_service(host: Host) -> None:
    host.ssh(f"{SYSTEMCTL} stop {SERVICE}")
    for timer in TIMERS:
        assert shown(host, timer, "ActiveState") == "inactive"
    assert host.ssh(f"{SYSTEMCTL} start {SWEEP}", check=False).returncode != 0
    assert shown(host, SERVICE, "ActiveState") == "inactive"
    assert failed(host) == ""
    # A connection does.
    host.ssh("python3 -c 'import socket; socket.create_connection((\"::1\", 8000))'")
    until(lambda: shown(host, SERVICE, "ActiveState") == "active")


def test_a_bad_setting_keeps_nothing_busy_and_is_over_when_mended(host: Host) -> None:
    host.ssh(f"sed -i.good 's/^MIN_REPLICAS=.*/MIN_REPLICAS=many/' {SETTINGS}")
    before = int(shown(host, SERVICE, "NRestarts"))
    began = time.monotonic()
    host.ssh(f"{SYSTEMCTL} kill --signal=KILL {SERVICE}")
    # Waits in the socket, so systemd starts it again and again without RestartSec.
    host.ssh("python3 -c 'import socket; socket.create_connection((\"::1\", 8000))'")
    until(lambda: int(shown(host, SERVICE, "NRestarts")) >= before + 4)
    assert time.monotonic() - began > 6  # there are three pauses of 3 s between them
    line = "MIN_REPLICAS=many is not a whole number"
    until(lambda: line in journal(host, f"_SYSTEMD_USER_UNIT={SERVICE}"))
    host.ssh(f"mv {SETTINGS}.good {SETTINGS}")
    until(lambda: shown(host, SERVICE, "ActiveState") == "active")
    assert KEY not in journal(host, "")


def test_the_socket_can_be_restarted(host: Host) -> None:
    for _ in range(6):
        host.ssh(f"{SYSTEMCTL} restart acekeeper.socket {SERVICE}")
    until(lambda: are_active(host, RUNNING))


def test_all_come_back_with_a_reboot(host: Host) -> None:
    host.reboot()
    until(lambda: are_active(host, RUNNING))
    assert "ordering cycle" not in journal(host, "")


def test_drop_ins_move_it_and_set_its_pace(host: Host) -> None:
    changed = "APP_PORT=8010\nMONITOR_INTERVAL_S=2.5\n"
    write = f"{AS_USER} -E SETTINGS_FILE={SETTINGS} /opt/acekeeper/current/bin/acekeeper"
    write = f"{write} settings --drop-ins {UNITS}"
    host.ssh(f"cp -p {SETTINGS} {SETTINGS}.good; cat >> {SETTINGS}", stdin=changed)
    names = host.ssh(write).stdout.split()
    assert names == [
        f"{UNITS}/acekeeper.socket.d/listen.conf",
        f"{UNITS}/acekeeper-sweep@streams.timer.d/interval.conf",
    ]
    reload = f"{SYSTEMCTL} daemon-reload; {SYSTEMCTL} restart acekeeper.socket {SERVICE}"
    host.ssh(reload)
    timers = shown(host, "acekeeper-sweep@streams.timer", "TimersMonotonic")
    assert "OnUnitActiveUSec=2.500000s" in timers
    assert "OnUnitActiveUSec=10s" not in timers
    assert "OnActiveUSec=1s" in timers
    host.ssh("python3 -c 'import socket; socket.create_connection((\"::1\", 8010))'")
    host.ssh(f"{SYSTEMCTL} start {SWEEP}")  # it finds the service where that is now
    host.ssh(f"mv {SETTINGS}.good {SETTINGS}; {write}; {reload}")
    assert shown(host, SERVICE, "ActiveState") == "active"


def shown(host: Host, unit: str, name: str) -> str:
    return host.ssh(f"{SYSTEMCTL} show --property={name} --value {unit}").stdout.strip()


def exposure(host: Host, unit: str) -> float:
    said = host.ssh(f"{AS_USER} systemd-analyze --user security --no-pager {unit}").stdout
    level = re.search(rf"exposure level for {re.escape(unit)}: ([\d.]+)", said)
    assert level, said
    return float(level[1])


def are_active(host: Host, units: Sequence[str]) -> bool:
    return shown(host, " ".join(units), "ActiveState").split() == ["active"] * len(units)


def failed(host: Host) -> str:
    listed = f"{SYSTEMCTL} list-units --state=failed --plain --no-legend 'acekeeper*'"
    return host.ssh(f"{listed} | cut -d' ' -f1").stdout


def journal(host: Host, lines: str) -> str:
    """journald writes them some time after they are printed."""
    return host.ssh(f"journalctl -b {lines}").stdout


@contextmanager
def drop_in(host: Host, unit: str, text: str) -> Iterator[None]:
    directory = f"/run/user/$(id -u acekeeper)/systemd/user/{unit}.d"
    reload = f"{SYSTEMCTL} daemon-reload"
    host.ssh(f"mkdir -p {directory} && cat > {directory}/test.conf && {reload}", stdin=text)
    try:
        yield
    finally:
        host.ssh(f"rm -r {directory} && {reload}")
