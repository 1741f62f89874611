"""Faults of the process: how it ends, does not end, and what it uses up."""

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from .conftest import Start
from .running import CONTENT, GETSTREAM, OTHER, Emulator, path_of, until

MIB = 1 << 20


def resident(emulator: Emulator) -> int:
    fields = Path(f"/proc/{emulator.process.pid}/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize()


def descriptors(emulator: Emulator) -> int:
    return len([*Path(f"/proc/{emulator.process.pid}/fd").iterdir()])


def cpu_seconds(emulator: Emulator) -> float:
    fields = Path(f"/proc/{emulator.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def threads(emulator: Emulator) -> int:
    return len([*Path(f"/proc/{emulator.process.pid}/task").iterdir()])


def test_it_crashes_after_a_time(emulator: Emulator) -> None:
    began = time.monotonic()
    emulator.fault("crash_after", amount=0.7)
    assert emulator.exit_code() == 1
    assert time.monotonic() - began >= 0.6


def test_it_crashes_at_the_nth_stream(emulator: Emulator) -> None:
    emulator.fault("crash_on_getstream", content=CONTENT, amount=2)
    assert emulator.open()
    assert emulator.open(OTHER)
    with emulator.asked(GETSTREAM + CONTENT) as client:
        assert client.recv(1) == b""
    assert emulator.exit_code() == 1


def test_it_crashes_on_a_stop(emulator: Emulator) -> None:
    emulator.fault("crash_on_stop", content=CONTENT)
    session, other = emulator.open(), emulator.open(OTHER)
    assert emulator.stop(other)["response"] == "ok"
    with emulator.asked(path_of(session["command_url"]) + "?method=stop") as client:
        assert client.recv(1) == b""
    assert emulator.exit_code() == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_does_not_end_when_told(emulator: Emulator, number: signal.Signals) -> None:
    emulator.fault("ignore_sigterm")
    emulator.process.send_signal(number)
    emulator.wait_for_line("asked to stop, and goes on")
    assert emulator.status().status == 200
    emulator.admin("DELETE", "/faults")
    emulator.process.send_signal(number)
    assert emulator.exit_code() == 0


def test_memory_grows_until_it_is_killed(start: Start) -> None:
    emulator = start("--start-delay", "0", "--memory-limit", "40").ready()
    emulator.fault("grow_memory", amount=6000)
    assert emulator.exit_code() == -signal.SIGKILL


def test_memory_is_given_back(emulator: Emulator) -> None:
    before = resident(emulator)
    emulator.fault("grow_memory", amount=2400)
    until(lambda: resident(emulator) > before + 20 * MIB)
    assert emulator.status().status == 200
    emulator.admin("DELETE", "/faults")
    until(lambda: resident(emulator) < before + 10 * MIB)


def test_the_cache_grows_and_stays(start: Start, tmp_path: Path) -> None:
    emulator = start("--start-delay", "0", "--cache-dir", str(tmp_path)).ready()
    before = threads(emulator)
    emulator.fault("grow_cache", amount=240)
    file = tmp_path / ".acestream_cache/grown"
    until(lambda: file.exists() and file.stat().st_size >= 2 * MIB)
    emulator.admin("DELETE", "/faults")
    until(lambda: threads(emulator) <= before)
    assert file.stat().st_size >= 2 * MIB


def test_a_core_is_kept_busy(emulator: Emulator) -> None:
    before = threads(emulator)
    emulator.fault("burn_cpu")
    spent = cpu_seconds(emulator)
    until(lambda: cpu_seconds(emulator) > spent + 0.5)
    assert emulator.status().status == 200
    emulator.admin("DELETE", "/faults")
    until(lambda: threads(emulator) <= before)


def test_descriptors_run_out_and_are_given_back(emulator: Emulator) -> None:
    resource.prlimit(emulator.process.pid, resource.RLIMIT_NOFILE, (64, 64))
    emulator.fault("leak_fds", amount=1_000_000)
    until(lambda: descriptors(emulator) > 60)
    assert emulator.count("sessions") == 0  # the admin port still answers
    emulator.admin("DELETE", "/faults")
    until(lambda: descriptors(emulator) < 20)
    assert emulator.open()
