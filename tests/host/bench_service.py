"""What acekeeper costs and how quick it is on a host it was deployed to: `make bench-host`.

Needs root and a lab. Ratios are of one run; the rest depends on the machine.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from . import deploying
from .deploying import as_user, engine_pid, show
from .lab import Host, Lab
from .viewing import Viewing

ENGINES, CALLERS, CLIENTS, KILLS, STARTS, RESTARTS = 60, 40, 8, 50, 12, 3
STEADY_S = 60
FIRST_PORT = 19500  # far from those acekeeper chooses itself
KEY = "the-key-of-the-bench"
ENGINE = "python3 -m acekeeper.emulator"
SETTINGS = {
    "MIN_REPLICAS": 0,
    "MAX_REPLICAS": ENGINES,
    "MAX_CONCURRENT_PROVISIONS": 10,
    "MIN_PROVISION_INTERVAL_S": 0,
    "AUTO_DELETE": False,
    "LOG_LEVEL": "WARNING",
}


def main() -> None:
    with Lab.take() as lab, tempfile.TemporaryDirectory() as name:
        host = lab.up(1)
        deploying.deploy(host, Path(name), SETTINGS, KEY)
        with Viewing(host, KEY) as viewing:
            callers(viewing)
            steady(host)
            restarts(host, viewing)
            kills(host, viewing)
            starts(host, viewing)


def starts(host: Host, viewing: Viewing) -> None:
    """From the POST to the active unit, against the same start as systemd alone has it."""
    ratios, seconds = [], []
    for port in range(FIRST_PORT, FIRST_PORT + STARTS):
        engine = viewing.do("provision", port)
        unit = f"engine@{port}.service"
        begun, active = (
            int(show(host, unit, f"{moment}TimestampMonotonic")) / 1e6
            for moment in ("InactiveExit", "ActiveEnter")
        )
        seconds.append(active - engine["began"])
        ratios.append((active - engine["began"]) / (active - begun))
    row("start through the API", seconds)
    say(f"  against StartUnit alone, median: {statistics.median(ratios):.3f}")


def callers(viewing: Viewing) -> None:
    began = time.monotonic()
    served = viewing.do("callers", CALLERS)
    shared = CALLERS - len({caller["id"] for caller in served})
    row(f"{CALLERS} callers at once, each served after", [c["waited"] for c in served])
    say(f"  engines shared: {shared}")
    viewing.do("callers", ENGINES - CALLERS)
    while len(viewing.do("get", "/engines")) < ENGINES:
        assert time.monotonic() < began + 300, "not every granted engine came up"
    say(f"  all {ENGINES} engines up after {time.monotonic() - began:.0f} s")


def steady(host: Host) -> None:
    """Of the service and of the sweeps the timers start; engines have a slice of their own."""
    before = spent(host)
    time.sleep(STEADY_S)
    share = (spent(host) - before) / STEADY_S
    pid = show(host, "acekeeper.service", "MainPID")
    memory = host.ssh(f"awk '/^Pss:|^Rss:/ {{print $1, int($2 / 1024)}}' /proc/{pid}/smaps_rollup")
    say(f"{ENGINES} idle engines: {100 * share:.1f} % of one core; {memory.stdout.split()} MB")


def spent(host: Host) -> float:
    """CPU seconds of acekeeper.slice but for its engines."""
    both = []
    for unit in ("acekeeper.slice", "acekeeper-engines.slice"):
        stat = f"/sys/fs/cgroup{show(host, unit, 'ControlGroup')}/cpu.stat"
        both.append(int(host.ssh(f"awk '/^usage_usec/ {{print $2}}' {stat}").stdout))
    return (both[0] - both[1]) / 1e6


def restarts(host: Host, viewing: Viewing) -> None:
    there = deploying.engines(host)
    viewing.do("load", CLIENTS)
    for _ in range(RESTARTS):
        as_user(host, "systemctl --user restart acekeeper.service")
    report = viewing.do("unload")
    kept = len(set(there.items()) & set(deploying.engines(host).items()))
    say(
        f"{RESTARTS} restarts under {CLIENTS} clients: {report['calls']} calls,"
        f" {len(report['failed'])} failed, longest wait {report['longest']} s,"
        f" {len(report['lost'])} streams lost, {kept} of {len(there)} engines untouched"
    )


def kills(host: Host, viewing: Viewing) -> None:
    seconds = []
    for engine in viewing.do("get", "/engines")[:KILLS]:
        pid = engine_pid(host, f"engine@{engine['port']}.service", ENGINE)
        seconds.append(viewing.do("kill", pid, engine["container_id"]))
    row("kill -9 of an engine to its absence from /engines", seconds)
    say(f"  99th of 100: {sorted(seconds)[round(0.99 * len(seconds)) - 1] * 1000:.0f} ms")


def row(what: str, seconds: list[float]) -> None:
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    milliseconds = " / ".join(f"{1000 * s:.0f}" for s in (low, middle, high))
    say(f"{what}: {milliseconds} ms (least / median / most of {len(seconds)})")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    say(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    main()
