"""What the quadlet runtime adds to systemd, and how soon it tells a death.

    python -m tests.host.bench_quadlet

Needs root and a lab. Figures of one run, of a machine that does nothing else, can be compared.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from .engine_host import ENVIRONMENT_FILES, Driver, EngineHost
from .lab import Lab

ROUNDS = 12
UNIT = "engine@19000.service"
KILL = "import os, sys, time; os.kill(int(sys.argv[1]), 9); print(time.monotonic())"


def main() -> None:
    with Lab.take() as lab, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        engines = EngineHost(lab.up(1), directory)
        bare, ours, told = [], [], []
        with engines.drive() as driver:
            for _ in range(ROUNDS):
                driver.do("list")
                bare.append(start_bare(engines, driver))
                answer = driver.do("start", 19000)
                assert "error" not in answer, answer
                ours.append(answer["at"] - answer["asked"])
                told.append(kill(engines, driver))
        report("bare StartUnit", bare)
        report("start()", ours)
        report("kill -9 to EngineDied", told)
        ratio = statistics.median(ours) / statistics.median(bare)
        sys.stdout.write(f"start() / bare StartUnit, medians: {ratio:.3f}\n")


def start_bare(engines: EngineHost, driver: Driver) -> float:
    ports = "HTTP_PORT=19000\\nHTTPS_PORT=20000\\nP2P_PORT=21000\\nAPI_PORT=22000\\n"
    lines = f"ENGINE_IMAGE={engines.image.removeprefix('sha256:')}\\n{ports}"
    engines.as_user(f"sh -c \"printf '{lines}' > {ENVIRONMENT_FILES}/19000.env\"")
    answer = driver.do("bare-start", 19000)
    assert answer["answer"] == "done", answer
    driver.do("bare-stop", 19000)
    driver.do("list")
    return float(answer["at"] - answer["asked"])


def kill(engines: EngineHost, driver: Driver) -> float:
    pid = engines.pid(UNIT, "python3")
    killed = float(engines.host.ssh(f'python3 -c "{KILL}" {pid}').stdout)
    told = float(driver.hear("EngineDied")["at"])
    while engines.show(UNIT, "ActiveState")["ActiveState"] == "deactivating":
        pass  # each look is a call to the host
    return told - killed


def report(what: str, seconds: list[float]) -> None:
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    milliseconds = " / ".join(f"{1000 * s:.0f}" for s in (low, middle, high))
    sys.stdout.write(f"{what}: {milliseconds} ms (least / median / most of {len(seconds)})\n")


if __name__ == "__main__":
    main()
