"""acekeeper on a host it was deployed to: viewers play from containers, and things go wrong."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from . import deploying
from .asking import KEY
from .deploying import INTERVALS, as_user, engines, show
from .lab import Host, Lab
from .viewing import Viewing
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

SETTINGS = {
    "MIN_REPLICAS": 2,
    "MAX_REPLICAS": 9,
    **INTERVALS,
    "HEALTH_UNHEALTHY_GRACE_PERIOD_S": 2,
    "HEALTH_REPLACEMENT_COOLDOWN_S": 1,
}
ENGINE, MONITOR, NETWORK = "python3 -m acekeeper.emulator", "/usr/bin/conmon", "/usr/bin/pasta"


@dataclass(frozen=True)
class Running:
    host: Host

    def engine_pid(self, unit: str, program: str) -> int:
        return deploying.engine_pid(self.host, unit, program)

    def service_pid(self) -> int:
        return int(show(self.host, "acekeeper.service", "MainPID"))

    def now(self) -> str:
        """As journalctl takes it."""
        return self.host.ssh("date +@%s.%6N").stdout.strip()

    def log(self, event: str, since: str) -> list[dict[str, Any]]:
        """The lines of the service's log that tell of it."""
        journal = f"journalctl -b -o cat --since={since} _SYSTEMD_USER_UNIT=acekeeper.service"
        lines = self.host.ssh(f'{journal} | grep \'"event":"{event}"\' || true').stdout
        return [json.loads(line) for line in lines.splitlines()]

    def log_of(self, port: int, event: str, since: str) -> list[dict[str, Any]]:
        """Those about this engine: others may have their own troubles."""
        name = f"engine-{port}"
        return [line for line in self.log(event, since) if line["engine"] == name]

    def told(self, port: int, event: str, since: str) -> dict[str, Any]:
        """The first of them, once it is there: what it tells of may be seen before it is."""
        until(lambda: self.log_of(port, event, since) != [])
        return self.log_of(port, event, since)[0]


@pytest.fixture(scope="module")
def running(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    host = lab.up(31)
    deploying.deploy(host, tmp_path_factory.mktemp("deployed"), SETTINGS, KEY)
    yield Running(host)
    lab.down(31)


@pytest.fixture
def viewing(running: Running) -> Iterator[Viewing]:
    """Two engines are free at the beginning, and nobody is left watching at the end."""
    with Viewing(running.host, KEY) as viewing:
        until(lambda: viewing.free() >= SETTINGS["MIN_REPLICAS"])
        yield viewing
        viewing.do("leave")


def listed(viewing: Viewing) -> dict[int, str]:
    """Container ids by port."""
    return {engine["port"]: engine["container_id"] for engine in viewing.do("get", "/engines")}


def started(viewing: Viewing) -> set[str]:
    return {stream["id"] for stream in viewing.do("get", "/streams?status=started")}


def unit(port: int) -> str:
    return f"engine@{port}.service"


def playing(running: Running, begun: list[dict[str, Any]]) -> dict[str, str]:
    """The starts of their engines; others may be on their way out."""
    there = engines(running.host)
    return {unit(viewer["port"]): there[unit(viewer["port"])] for viewer in begun}


def test_viewers_play_from_containers_of_their_own(running: Running, viewing: Viewing) -> None:
    begun = viewing.do("begin", 3)
    ports = [viewer["port"] for viewer in begun]
    assert len(set(ports)) == 3
    assert {unit(port) for port in ports} <= engines(running.host).keys()
    assert started(viewing) >= {viewer["stream"] for viewer in begun}
    containers = as_user(running.host, "podman ps --no-trunc --format '{{.ID}} {{.Names}}'")
    for port, container_id in listed(viewing).items():
        assert f"{container_id} engine-{port}\n" in containers
    assert viewing.do("playing") == [True] * 3
    assert viewing.do("leave") == [True] * 3
    assert not started(viewing) & {viewer["stream"] for viewer in begun}


@pytest.mark.parametrize(
    ("program", "said"),
    [(ENGINE, {"cause": "killed", "detail": "SIGKILL"}), (MONITOR, {"cause": "killed"})],
    ids=["engine", "monitor"],
)
def test_who_dies_takes_nobody_along(
    running: Running, viewing: Viewing, program: str, said: dict[str, str]
) -> None:
    victim, other = viewing.do("begin", 2)
    container_id = listed(viewing)[victim["port"]]
    viewing.do("watch", container_id)
    since = running.now()
    running.host.ssh(f"kill -9 {running.engine_pid(unit(victim['port']), program)}")
    viewing.do("unlisted")
    died = running.told(victim["port"], "engine_died", since)
    assert died.items() >= said.items()
    assert 0 < died["noticed_after"] < 60, "by systemd's own clock"
    assert viewing.do("playing")[1] is True
    there = started(viewing)
    assert victim["stream"] not in there
    assert other["stream"] in there
    until(lambda: viewing.free() >= SETTINGS["MIN_REPLICAS"])


def test_a_dead_network_process_is_found_by_asking(running: Running, viewing: Viewing) -> None:
    victim, _ = viewing.do("begin", 2)
    container_id = listed(viewing)[victim["port"]]
    viewing.do("watch", container_id)
    since = running.now()
    running.host.ssh(f"kill -9 {running.engine_pid(unit(victim['port']), NETWORK)}")
    viewing.do("unlisted")
    assert show(running.host, unit(victim["port"]), "ActiveState") == "active"
    # Who was asking just then saw something else; not the third in a row, who came after that.
    ill = running.told(victim["port"], "engine_unhealthy", since)
    assert ill["why"] == "refused the connection"
    assert viewing.do("playing")[1] is True
    assert running.told(victim["port"], "engine_draining", since)["reason"] == "unhealthy"


def test_a_hung_engine_leaves_the_list_and_comes_back_with_its_answers(
    running: Running, viewing: Viewing
) -> None:
    victim, _ = viewing.do("begin", 2)
    container_id = listed(viewing)[victim["port"]]
    pid = running.engine_pid(unit(victim["port"]), ENGINE)
    viewing.do("watch", container_id)
    since = running.now()
    running.host.ssh(f"kill -STOP {pid}")
    try:
        viewing.do("unlisted")
    finally:
        running.host.ssh(f"kill -CONT {pid}")
    assert viewing.do("playing")[1] is True
    # It may have been given up before it could answer.
    until(
        lambda: (
            container_id in listed(viewing).values()
            or running.log_of(victim["port"], "engine_draining", since) != []
        )
    )


def test_acekeeper_killed_is_back_with_all_it_had(running: Running, viewing: Viewing) -> None:
    begun = viewing.do("begin", 2)
    before, was = playing(running, begun), running.service_pid()
    running.host.ssh(f"kill -9 {was}")
    until(lambda: running.service_pid() not in (0, was))
    assert started(viewing) >= {viewer["stream"] for viewer in begun}
    assert viewing.do("playing") == [True, True]
    assert playing(running, begun) == before
    assert viewing.do("leave") == [True, True]


def test_a_restart_under_load_costs_no_call(
    running: Running, viewing: Viewing, tell: Callable[[str], None]
) -> None:
    begun = viewing.do("begin", 2)
    before, was = playing(running, begun), running.service_pid()
    viewing.do("load", 8)
    for _ in range(2):
        as_user(running.host, "systemctl --user restart acekeeper.service")
    report = viewing.do("unload")
    tell(
        f"two restarts under load: {len(report['failed'])} of {report['calls']} calls failed,"
        f" {len(report['lost'])} streams lost, longest wait {report['longest']} s"
    )
    assert report["failed"] == []
    assert report["lost"] == []
    assert running.service_pid() != was
    assert playing(running, begun) == before
    assert viewing.do("playing") == [True, True]
    assert started(viewing) >= {viewer["stream"] for viewer in begun}


def test_a_missing_image_stops_starts_and_nothing_else(running: Running, viewing: Viewing) -> None:
    begun = viewing.do("begin", 2)
    deployed = as_user(running.host, "cat /etc/acekeeper/settings.env")
    setting = "/^TARGET_IMAGE=/s/=.*/=" + "0" * 64 + "/"
    running.host.ssh(f"sed -i '{setting}' /etc/acekeeper/settings.env")
    try:
        since = running.now()
        as_user(running.host, "systemctl --user restart acekeeper.service")
        taken = {viewer["port"] for viewer in begun}
        until(partial(misses_its_image, running, viewing, taken, since))
        assert viewing.do("playing") == [True, True]
        assert taken <= listed(viewing).keys()
    finally:
        running.host.ssh("cat > /etc/acekeeper/settings.env", stdin=deployed)
        as_user(running.host, "systemctl --user stop 'engine@*'")
        reset_breaker(running)


def misses_its_image(running: Running, viewing: Viewing, taken: set[int], since: str) -> bool:
    """Takes away what is free, and so what is ready of starts before; then one more is needed."""
    for port in listed(viewing).keys() - taken:
        as_user(running.host, f"systemctl --user stop {unit(port)}")
    lacking = running.log("runtime_lacks", since)
    return any("is not on this host" in line["why"] for line in lacking)


def reset_breaker(running: Running) -> None:
    """What is stored of it goes with the database; there is no engine any more to know of."""
    as_user(running.host, "systemctl --user stop acekeeper.socket acekeeper.service")
    running.host.ssh("rm -f /var/lib/acekeeper/.local/state/acekeeper/acekeeper.db*")
    as_user(running.host, "systemctl --user start acekeeper.service")


def test_sweeps_are_asked_for_and_none_fails(running: Running, viewing: Viewing) -> None:
    for kind in ("health", "streams", "scale"):
        name = f"acekeeper-sweep@{kind}.service"
        before = show(running.host, name, "ExecMainStartTimestampMonotonic")
        until(
            lambda before=before, name=name: (  # type: ignore[misc]
                show(running.host, name, "ExecMainStartTimestampMonotonic") != before
            )
        )
        assert show(running.host, name, "Result") == "success"
    failed = as_user(running.host, "systemctl --user --failed --plain --no-legend")
    assert [line for line in failed.splitlines() if not line.startswith("engine@")] == []


def test_a_killed_service_manager_comes_back_with_all_it_runs(running: Running) -> None:
    """Nobody logs in meanwhile, which would start it as well."""
    manager = "user@$(id -u acekeeper).service"
    ask = f"systemctl show --value {manager} --property"
    running.host.ssh(f"kill -9 $({ask}=MainPID)")
    until(lambda: running.host.ssh(f"{ask}=NRestarts").stdout.strip() == "1")
    ready = "curl -s -m 5 http://127.0.0.1:8000/health/ready"
    until(lambda: '"ready":true' in running.host.ssh(ready, check=False).stdout)
    with Viewing(running.host, KEY) as viewing:
        until(lambda: viewing.free() >= SETTINGS["MIN_REPLICAS"])


def test_after_a_reboot_it_is_back_by_itself(running: Running, tell: Callable[[str], None]) -> None:
    with Viewing(running.host, KEY) as viewing:
        until(lambda: viewing.free() >= SETTINGS["MIN_REPLICAS"])
        [begun] = viewing.do("begin", 1)
    running.host.reboot()
    until(lambda: show(running.host, "acekeeper.service", "ActiveState") == "active")
    with Viewing(running.host, KEY) as viewing:
        until(lambda: viewing.free() >= SETTINGS["MIN_REPLICAS"])
        [stream] = [
            stream
            for stream in viewing.do("get", "/streams?status=ended")
            if stream["id"] == begun["stream"]
        ]
    assert stream["reason"] == "engine_died:host_rebooted"
    tell(f"reboot: the API and {SETTINGS['MIN_REPLICAS']} free engines are back by themselves")


def test_no_line_of_the_log_has_the_key(running: Running) -> None:
    journal: Any = running.host.ssh("journalctl --no-pager -o cat | grep -F -- " + KEY, check=False)
    assert journal.stdout == ""


def test_the_files_of_the_state_are_its_own(running: Running) -> None:
    state = "/var/lib/acekeeper/.local/state/acekeeper"
    modes = running.host.ssh(f"find {state} -printf '%m %u %p\\n'").stdout.splitlines()
    assert {line.split()[1] for line in modes} == {"acekeeper"}
    assert not [line for line in modes if line.split()[0][-2:] != "00"], Path(state)
