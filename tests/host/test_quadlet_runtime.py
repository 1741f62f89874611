"""The quadlet runtime on a real host, with real containers, run as the unprivileged user."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .engine_host import ADMIN_PORT, ENVIRONMENT_FILES, Driver, EngineHost
from .lab import Lab
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

QUADLETS = Path(__file__).parents[2] / "quadlets"
GOLDEN = Path(__file__).parents[1] / "golden"
UNIT = "engine@19000.service"
GET_STATUS = """
import sys, time, urllib.request
url = "http://127.0.0.1:19000/server/api?api_version=3&method=get_status"
for _ in range(int(sys.argv[1])):
    try:
        print(urllib.request.urlopen(url, timeout=5).read().decode())
        break
    except OSError as error:
        time.sleep(0.1)
"""
CRASH = f"""
import urllib.request
url = "http://127.0.0.1:{ADMIN_PORT}/crash"
urllib.request.urlopen(urllib.request.Request(url, b'{{"exit_code": 3}}', method="POST")).read()
"""


@pytest.fixture(scope="module")
def engines(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> EngineHost:
    directory = tmp_path_factory.mktemp("engines")
    return EngineHost(lab.up(51), directory)


@pytest.fixture
def driver(engines: EngineHost) -> Iterator[Driver]:
    with engines.drive() as driver:
        driver.do("list")
        yield driver
    engines.as_user("systemctl --user stop 'engine@*'")
    engines.as_user("systemctl --user reset-failed 'engine@*'", check=False)


def start(driver: Driver) -> dict[str, str]:
    answer = driver.do("start", 19000)
    assert "error" not in answer, answer
    return dict(answer["answer"])


def wake_podman(driver: Driver) -> None:
    """Its service starts when it is asked, and that may take longer than an answer may."""
    until(lambda: "answer" in driver.do("inspect", "0" * 64))


def status(engines: EngineHost, attempts: int = 300) -> str:
    return engines.host.ssh(f"python3 - {attempts}", stdin=GET_STATUS).stdout


def test_an_engine_starts_is_adopted_and_stops(engines: EngineHost, driver: Driver) -> None:
    started = start(driver)
    assert json.loads(status(engines))["result"]["version"]
    assert engines.files() == ["19000.env"]
    names = engines.as_user("podman ps --no-trunc --format '{{.ID}} {{.Names}}'").split()
    assert names == [started["container_id"], "engine-19000"]
    assert list(started["addresses"]) == ["127.0.0.1"]
    found = {**started, "dying": False, "behind": None}

    with engines.drive() as other:
        listing = other.do("list")["answer"]
        assert listing["found"] == [found]
        assert listing["boot"] == engines.host.boot_id()
        assert "error" not in other.do("stop", 19000, started["incarnation"])
        assert other.hear("EngineDied")["cause"] == "stopped"
    died = driver.hear("EngineDied")
    assert (died["incarnation"], died["cause"]) == (started["incarnation"], "stopped")
    assert driver.do("list")["answer"]["found"] == []
    assert engines.files() == []
    assert engines.as_user("podman ps -aq") == ""
    assert engines.show(UNIT, "ActiveState")["ActiveState"] == "inactive"


def test_an_engine_is_confined(engines: EngineHost, driver: Driver) -> None:
    start(driver)
    pid = engines.pid(UNIT, "python3")
    process = engines.host.ssh(f"cat /proc/{pid}/status /proc/{pid}/mountinfo").stdout
    assert "Uid:\t101000\t101000\t101000\t101000" in process  # 1000 inside, and nobody's outside
    assert "CapBnd:\t0000000000000000" in process
    assert "NoNewPrivs:\t1" in process
    inside = engines.host.ssh(f"cat /proc/{pid}/uid_map").stdout
    outside = {int(line.split()[1]) for line in inside.splitlines()}
    assert int(engines.uid) not in outside
    mounts = [line.split() for line in process.splitlines() if " - " in line]
    (root,) = (m for m in mounts if m[4] == "/")
    assert "ro" in root[5].split(",")
    listening = engines.host.ssh("ss -Hlntu | awk '{print $1, $5}' | sort").stdout.split("\n")
    assert [at for at in listening if at and not at.endswith(":22")] == [
        "tcp 0.0.0.0:21000",
        "tcp 127.0.0.1:19000",
        "tcp 127.0.0.1:20000",
        "tcp 127.0.0.1:22000",
        "udp 0.0.0.0:21000",
    ]
    unit = engines.show(UNIT, "After", "Slice", "Restart")
    assert "network" not in unit["After"]
    assert unit["Slice"] == "acekeeper-engines.slice"
    assert unit["Restart"] == "no"
    timers = engines.as_user("systemctl --user list-timers --all --no-legend").splitlines()
    assert [timer for timer in timers if "acekeeper-sweep@" not in timer] == []


@pytest.mark.parametrize(
    ("program", "detail"),
    [("python3", "SIGKILL"), ("/usr/bin/conmon", "its monitor got SIGKILL")],
)
def test_a_killed_engine_is_told(
    engines: EngineHost, driver: Driver, program: str, detail: str
) -> None:
    started = start(driver)
    pid = engines.pid(UNIT, program)
    engines.host.ssh(f"kill -9 {pid}")
    died = driver.hear("EngineDied")
    assert (died["incarnation"], died["cause"], died["detail"]) == (
        started["incarnation"],
        "killed",
        detail,
    )
    # Nothing of it is in the next one's way.
    assert start(driver)["incarnation"] != started["incarnation"]
    assert status(engines)


def test_a_dead_pasta_is_nothing_systemd_sees(engines: EngineHost, driver: Driver) -> None:
    """Only who asks the engine finds out; then a stop must end all the same."""
    started = start(driver)
    assert status(engines)
    pid = engines.pid(UNIT, "/usr/bin/pasta")
    engines.host.ssh(f"kill -9 {pid}")
    assert status(engines, attempts=1) == ""
    assert len(driver.do("list")["answer"]["found"]) == 1
    driver.do("stop", 19000, started["incarnation"])
    assert driver.hear("EngineDied")["cause"] == "stopped"


def test_an_engine_may_be_started_as_often_as_acekeeper_likes(
    engines: EngineHost, driver: Driver
) -> None:
    """Stopped before it has learned what SIGTERM means, it has not failed."""
    for _ in range(7):  # systemd's own limit is 5 in 10 s
        driver.do("stop", 19000, start(driver)["incarnation"])
        assert driver.hear("EngineDied")["cause"] == "stopped"
    assert engines.as_user("systemctl --user list-units --failed --no-legend") == ""


def test_an_exit_is_told_with_its_code(engines: EngineHost, driver: Driver) -> None:
    start(driver)
    assert status(engines)
    pid = engines.pid(UNIT, "python3")
    engines.host.ssh(f"nsenter -t {pid} -n python3 -", stdin=CRASH)
    died = driver.hear("EngineDied")
    assert (died["cause"], died["detail"]) == ("exited", "code 3")
    # It is told at once; systemd clears up behind it.
    until(lambda: engines.show(UNIT, "ActiveState")["ActiveState"] == "failed")


def test_a_stop_by_hand_is_told_as_one(engines: EngineHost, driver: Driver) -> None:
    start(driver)
    engines.as_user(f"systemctl --user stop {UNIT}")
    assert driver.hear("EngineDied")["cause"] == "stopped"
    driver.do("list")
    assert engines.files() == []


def test_a_restart_by_hand_is_adopted(engines: EngineHost, driver: Driver) -> None:
    first = start(driver)
    engines.as_user(f"systemctl --user restart {UNIT}")
    assert driver.hear("EngineDied")["incarnation"] == first["incarnation"]
    (found,) = driver.do("list")["answer"]["found"]
    assert found["incarnation"] != first["incarnation"]
    assert found["container_id"] != first["container_id"]
    assert engines.files() == ["19000.env"]


def test_a_missing_image_is_named(engines: EngineHost) -> None:
    absent = "0" * 64
    with engines.drive(absent) as driver:
        driver.do("list")
        wake_podman(driver)
        failed = driver.do("start", 19000)
    assert failed["error"] == "EngineFailed"
    assert f"The image {absent} is not on this host" in failed["says"]
    unit = engines.show(UNIT, "ExecMainStatus", "Result")
    assert unit == {"ExecMainStatus": "125", "Result": "exit-code"}
    assert engines.files() == []


def test_a_port_taken_in_the_last_moment_is_named(engines: EngineHost, driver: Driver) -> None:
    failed = driver.do("start-beside", 19000, 22000)
    assert failed["error"] == "PortTaken"
    assert "API port 22000 is taken" in failed["says"]
    assert engines.show(UNIT, "ExecMainStatus")["ExecMainStatus"] == "126"
    assert engines.files() == []
    start(driver)


def test_a_restart_of_the_bus_costs_no_engine(engines: EngineHost, driver: Driver) -> None:
    started = start(driver)
    engines.as_user("systemctl --user restart dbus.service")
    driver.hear("RuntimeLost")
    driver.hear("RuntimeConnected")
    (found,) = driver.do("list")["answer"]["found"]
    assert found["incarnation"] == started["incarnation"]
    pid = engines.pid(UNIT, "python3")
    engines.host.ssh(f"kill -9 {pid}")
    assert driver.hear("EngineDied")["incarnation"] == started["incarnation"]


@pytest.mark.parametrize("change", ["daemon-reload", "daemon-reexec"])
def test_systemd_reading_its_units_again_changes_nothing(
    engines: EngineHost, driver: Driver, change: str
) -> None:
    started = start(driver)
    engines.as_user(f"systemctl --user {change}")
    while driver.do("list").get("error"):
        pass  # after a reexec the connection may be a new one
    engines.as_user("podman kill engine-19000")
    driver.told = [said for said in driver.told if not said["fact"].startswith("Runtime")]
    died = driver.hear("EngineDied")
    assert (died["incarnation"], died["cause"]) == (started["incarnation"], "killed")


def test_environment_files_without_a_unit_are_removed(engines: EngineHost, driver: Driver) -> None:
    start(driver)
    engines.as_user(f"touch {ENVIRONMENT_FILES}/19001.env")
    driver.do("list")
    assert engines.files() == ["19000.env"]


def test_podman_tells_what_systemd_does_not(engines: EngineHost, driver: Driver) -> None:
    started = start(driver)
    assert status(engines)
    container_id = started["container_id"]
    wake_podman(driver)
    inspected = driver.do("inspect", container_id)["answer"]
    assert inspected["State"]["Status"] == "running"
    assert inspected["Image"] == engines.image.removeprefix("sha256:")
    until(lambda: "httpserver|start" in driver.do("logs", container_id, 10)["answer"])
    absent = "0" * 64
    for words in (("inspect", absent), ("logs", absent, 10)):
        assert driver.do(*words)["answer"] is None


def test_the_units_are_as_recorded(engines: EngineHost) -> None:
    for variant in sorted((QUADLETS / "variants").iterdir()):
        golden = GOLDEN / f"engine@.{variant.stem}.service"
        assert rendered(engines, "engine@.container", variant) == golden.read_text(), variant.name
    for quadlet in ("acexy", "vpn@"):
        golden = GOLDEN / f"{quadlet}.service"
        assert rendered(engines, f"{quadlet}.container") == golden.read_text()


def rendered(engines: EngineHost, quadlet: str, *drop_ins: Path) -> str:
    """What Podman's generator makes of it. The order of its options is not always the same, so
    each has a line, and the lines are sorted."""
    target = "/tmp/rendered"
    engines.host.ssh(f"rm -rf {target}; mkdir -p {target}/{quadlet}.d")
    engines.host.copy(QUADLETS / quadlet, target)
    for drop_in in drop_ins:
        engines.host.copy(drop_in, f"{target}/{quadlet}.d")
    generator = "/usr/lib/systemd/system-generators/podman-system-generator --user --dryrun"
    unit = engines.host.ssh(f"QUADLET_UNIT_DIRS={target} {generator}").stdout
    lines: list[str] = []
    for line in unit.strip().splitlines():
        if line.startswith("#") or line.startswith("SourcePath="):
            continue
        if line.startswith("ExecStart="):
            command, image, arguments = re.split(r" (\$\{\w+_IMAGE\})", line)
            run, *options = command.split(" --")
            lines += [run, *(f"  --{option}" for option in sorted(options))]
            lines.append(f"  {image}{arguments}")
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"
