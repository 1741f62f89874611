"""A fault for each alert, as it comes about on a host, and what the page's commands then show."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from .deploying import INTERVALS, as_user, engine_pid, engines, show
from .lab import Host
from .viewing import Viewing
from .waiting import until

MIN_REPLICAS, MAX_REPLICAS = 4, 6
SETTINGS: Mapping[str, object] = {
    "MIN_REPLICAS": MIN_REPLICAS,
    "MAX_REPLICAS": MAX_REPLICAS,
    **INTERVALS,
    "ENGINE_GRACE_PERIOD_S": 5,
    "CIRCUIT_BREAKER_THRESHOLD": 3,
    "HEALTH_UNHEALTHY_GRACE_PERIOD_S": 600,  # ill ones stay until the fault is undone
}
HOME = "/var/lib/acekeeper"
ENGINE, NETWORK = "python3 -m acekeeper.emulator", "/usr/bin/pasta"
ADMIN_PORT = 6999  # in an engine's own network

Steps = Callable[[Host, Viewing], Iterator[None]]


class Fault(NamedTuple):
    """It is injected before the `yield`, and undone after it."""

    steps: Steps
    shows: tuple[str, ...]  # what the commands below "Confirm", and those with `also`, print
    also: str = ""

    @contextmanager
    def injected(self, host: Host, viewing: Viewing) -> Iterator[None]:
        steps = self.steps(host, viewing)
        next(steps)
        try:
            yield
        finally:
            next(steps, None)


FAULTS: dict[str, Fault] = {}


def fault(alert: str, *shows: str, also: str = "") -> Callable[[Steps], Steps]:
    def keep(steps: Steps) -> Steps:
        FAULTS[alert] = Fault(steps, shows, also)
        return steps

    return keep


def prepare(host: Host) -> None:
    """Its home on a small file system of its own, so that it can be filled up."""
    host.ssh(
        f"systemctl stop user-runtime-dir@$(id -u acekeeper); mv {HOME} {HOME}.was; mkdir {HOME};"
        f" mount -t tmpfs -o size=3g,mode=755 home {HOME}; cp -a {HOME}.was/. {HOME};"
        f" chown acekeeper: {HOME}; systemctl start user@$(id -u acekeeper)",
        timeout_s=120,
    )


@contextmanager
def started_with(host: Host, option: str) -> Iterator[None]:
    """All engines are stopped, and those that come have it."""
    with changed(host, option):
        as_user(host, "systemctl --user stop 'engine@*'")
        yield


@contextmanager
def changed(host: Host, option: str) -> Iterator[None]:
    """Engines that come have it."""
    variant = "/etc/containers/systemd/users/$(id -u acekeeper)/engine@.container.d/variant.conf"
    host.ssh(f"cp -p {variant} /root; sed -i '/^Exec=/s/$/ {option}/' {variant}")
    as_user(host, "systemctl --user daemon-reload")
    yield
    host.ssh(f"cp -p /root/variant.conf {variant}")
    as_user(host, "systemctl --user daemon-reload")


def keep_doing(host: Host, commands: str) -> None:
    """Until `systemctl stop fault`."""
    host.ssh(f"systemd-run -q --unit=fault sh -c {shlex.quote(f'while :; do {commands}; done')}")


def telling_all(*kinds: str) -> str:
    """A command that has every engine of that option show these faults of the emulator."""
    faults = [shlex.quote(json.dumps({"kind": kind})) for kind in kinds]
    tell = " --next -s ".join(f"-d {f} http://127.0.0.1:{ADMIN_PORT}/faults" for f in faults)
    return f"for pid in $(pgrep -f '^{ENGINE}'); do nsenter -t $pid -n curl -s {tell}; done"


@fault("AcekeeperDown", r"inactive \(dead\)", "Connection refused", "Stopped acekeeper.service")
def stopped(host: Host, viewing: Viewing) -> Iterator[None]:
    as_user(host, "systemctl --user stop acekeeper.socket acekeeper.service")
    yield
    host.ssh("systemctl --user -M acekeeper@ start acekeeper.service")


@fault("NoHealthyEngines", " unknown | unhealthy ", "refused the connection", also="curl")
def no_network(host: Host, viewing: Viewing) -> Iterator[None]:
    keep_doing(host, f"kill -9 $(pgrep -f ^{NETWORK}); sleep 1")
    yield
    host.ssh("systemctl stop fault")
    as_user(host, "systemctl --user stop 'engine@*'")
    viewing.do("post", "/health/circuit-breaker/reset")


@fault(
    "CircuitBreakerOpen",
    "breaker open",
    "cause exited, detail code 2",
    "bad option",
    also="journalctl",
)
def bad_flag(host: Host, viewing: Viewing) -> Iterator[None]:
    with started_with(host, "--bitrate fast"):
        yield
    viewing.do("post", "/health/circuit-breaker/reset")


@fault(
    "RolloutStopped",
    r"\d unit_changed\), stopped: starts_fail",
    "cause exited, detail code 2",
    "bad option",
    also="journalctl",
)
def bad_variant(host: Host, viewing: Viewing) -> Iterator[None]:
    with changed(host, "--bitrate fast"):
        yield


@fault("MaintenanceForgotten", "now: in maintenance since .* 13 hours ago", "maintenance began")
def forgotten_maintenance(host: Host, viewing: Viewing) -> Iterator[None]:
    """It is made to have begun long ago, while the service is away."""
    host.ssh("acekeeper drain --all")
    as_user(host, "systemctl --user stop acekeeper.socket acekeeper.service")
    database = f"{HOME}/.local/state/acekeeper/acekeeper.db"
    long_ago = "UPDATE kept SET value = value - 13 * 3600 WHERE name = 'maintenance'"
    change = f"import sqlite3; db = sqlite3.connect('{database}', isolation_level=None)"
    as_user(host, f"python3 -c {shlex.quote(f'{change}; db.execute({long_ago!r})')}")
    host.ssh("systemctl --user -M acekeeper@ start acekeeper.service")
    yield
    host.ssh("acekeeper drain --undo")


@fault(
    "StreamsFailing",
    "reason timeout, .*failed yes",
    "orch_contents_failing [1-9]",
    "why no_peers",
    r"1\.1\.1\.1 via",
    also="ip route",
)
def no_way_out(host: Host, viewing: Viewing) -> Iterator[None]:
    """An emulated engine makes its picture itself, so each is told that nothing comes to it."""
    with started_with(host, f"--admin-port {ADMIN_PORT}"):
        keep_doing(host, f"{telling_all('no_peers', 'offline')}; sleep 1")
        for _ in range(2):  # those that were doubted have been tried by then
            until(lambda: viewing.free() >= MIN_REPLICAS)
            viewing.do("wait_in_vain", MAX_REPLICAS)
        yield
    host.ssh("systemctl stop fault")
    as_user(host, "systemctl --user stop 'engine@*'")


@fault(
    "PlaysFailing",
    r'requests_total{answer="left_without_picture"} [1-9]',
    r"contents_failing ([3-9]|\d\d)",
    " play opened: ",
    '"connected": ?true',
    also="curl",
)
def no_picture(host: Host, viewing: Viewing) -> Iterator[None]:
    """Engines give sessions, and no picture of them, to three players at a time."""
    content = "$(od -An -tx1 -N20 /dev/urandom | tr -d ' \n')"
    play = f"curl -sL -m 25 -o /dev/null http://127.0.0.1:6878/ace/getstream?id={content} &"
    with started_with(host, f"--admin-port {ADMIN_PORT}"):
        until(lambda: viewing.free() >= MIN_REPLICAS)
        keep_doing(host, f"{telling_all('hang_read')}; {3 * play} wait")
        yield
    host.ssh("systemctl stop fault")
    as_user(host, "systemctl --user stop 'engine@*'")


@fault("ProvisioningBlocked", "refusing provisions: ", f"MAX_REPLICAS={MAX_REPLICAS}")
def all_watched(host: Host, viewing: Viewing) -> Iterator[None]:
    viewing.do("begin", MAX_REPLICAS)
    yield
    viewing.do("leave")


FAULTS["NoFreeEngine"] = Fault(all_watched, (", 0 free; ",))


@fault("EventsFailing", "store: .*full", "store_degraded", "100%", also="df")
def full_disk(host: Host, viewing: Viewing) -> Iterator[None]:
    host.ssh(f"mount -o remount,size=$(($(df --output=used -k {HOME} | tail -1) + 64))k {HOME}")
    viewing.do("load", 1)
    yield
    host.ssh(f"mount -o remount,size=3g {HOME}")
    viewing.do("unload")


@fault("EventsRefused", '"status":403', r'status="403"')
def old_key(host: Host, viewing: Viewing) -> Iterator[None]:
    url = "http://127.0.0.1:8000/events/stream_started"
    told = "-H 'Authorization: Bearer an-old-key' -H 'Content-Type: application/json' -d '{}'"
    keep_doing(host, f"curl -s -o /dev/null {told} {url}; sleep 1")
    yield
    host.ssh("systemctl stop fault")


@fault("DiskFilling", r"home +1\.0G", r"6\d\dM\s+/var/lib/acekeeper\n")
def filling_disk(host: Host, viewing: Viewing) -> Iterator[None]:
    host.ssh(f"mount -o remount,size=1g {HOME}; fallocate -l 600m {HOME}/large")
    yield
    host.ssh(f"rm {HOME}/large; mount -o remount,size=3g {HOME}")


@fault("EngineCrashLoop", "cause killed, detail SIGKILL")
def killed(host: Host, viewing: Viewing) -> Iterator[None]:
    for _ in range(2):
        until(lambda: len(engines(host)) >= MIN_REPLICAS)
        host.ssh(f"kill -9 $(pgrep -f '^{ENGINE}')")
    yield
    viewing.do("post", "/health/circuit-breaker/reset")  # so early a death counts for it


@fault("EnginesUnhealthy", " unhealthy ", "no answer within 5 s")
def hung(host: Host, viewing: Viewing) -> Iterator[None]:
    pids = " ".join(str(engine_pid(host, unit, ENGINE)) for unit in list(engines(host))[:2])
    host.ssh(f"kill -STOP {pids}")
    yield
    host.ssh(f"kill -CONT {pids}")


@fault("SweepLate", "0 timers listed", "healthy")
def no_timers(host: Host, viewing: Viewing) -> Iterator[None]:
    timers = " ".join(f"acekeeper-sweep@{kind}.timer" for kind in ("health", "streams", "scale"))
    as_user(host, f"systemctl --user stop {timers}")
    yield
    as_user(host, f"systemctl --user start {timers}")


@fault("HighAPILatency", r'orch_loop_lag_seconds_bucket\{le="5.0"\}', r"200 \d\.")
def standing_still(host: Host, viewing: Viewing) -> Iterator[None]:
    pid = show(host, "acekeeper.service", "MainPID")
    keep_doing(host, f"kill -STOP {pid}; sleep 3; kill -CONT {pid}; sleep 1")
    yield
    host.ssh(f"systemctl stop fault; kill -CONT {pid}")
