"""Start, options, signals, ports, and what the process weighs."""

import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import acekeeper.emulator
from acekeeper.emulator.options import OPTIONS

from ..ports import free_port
from .conftest import Play, Start
from .running import LIMIT_S, STATUS, Emulator, are_silent, until


def connects(host: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


def test_refuses_connections_during_its_start_delay(start: Start) -> None:
    emulator = start("--start-delay", "86400")
    emulator.wait_for_line("engine starting")
    assert emulator.admin("GET", "/counters").status == 200
    assert not connects("127.0.0.1", emulator.port)


def test_answers_when_its_start_delay_is_over(start: Start) -> None:
    began = time.monotonic()
    emulator = start("--start-delay", "0.7").ready()
    assert time.monotonic() - began >= 0.6
    assert emulator.status().status == 200


def test_may_hang_from_its_first_request_on(start: Start) -> None:
    emulator = start("--start-delay", "0.7")
    emulator.wait_for_line("engine starting")
    emulator.fault("hang")
    emulator.ready()
    with emulator.asked(STATUS) as client:
        assert are_silent(client)


def test_takes_every_option_an_engine_is_started_with(start: Start) -> None:
    options = "--client-console --live-cache-type memory --https-port=6879 --port 8621"
    options += " --api-port 62062 --log-stdout --no-such-option --another 5 --live-buffer -1"
    emulator = start(*options.split(), "--start-delay", "0").ready()
    assert emulator.status().status == 200


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_shows_its_options_and_starts_nothing(word: str) -> None:
    command = [sys.executable, "-m", "acekeeper.emulator", "--start-delay", "0", word]
    shown = subprocess.check_output(command, text=True, timeout=LIMIT_S)
    assert [option for option in OPTIONS if f"  {option} " not in shown] == []


@pytest.mark.parametrize(("options", "reachable"), [([], False), (["--bind-all"], True)])
def test_listens_beyond_its_own_address_only_when_told(
    start: Start, options: list[str], reachable: bool
) -> None:
    emulator = start(*options, "--start-delay", "0").ready()
    assert connects("127.0.0.2", emulator.port) is reachable


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_on_a_signal_while_it_starts(start: Start, number: signal.Signals) -> None:
    emulator = start("--start-delay", "60")
    emulator.wait_for_line("engine starting")
    emulator.process.send_signal(number)
    assert emulator.exit_code() == 0


def test_ends_on_a_signal_while_it_streams_and_hangs(emulator: Emulator, play: Play) -> None:
    play(emulator).start()
    emulator.fault("hang")
    with emulator.asked("/webui/api/service?method=get_version"):
        emulator.process.terminate()
        assert emulator.exit_code() == 0


@pytest.mark.parametrize("option", ["--http-port", "--admin-port"])
def test_says_which_port_is_taken(start: Start, emulator: Emulator, option: str) -> None:
    second = start(option, str(emulator.port), "--start-delay", "0")
    second.wait_for_line(f"cannot listen on port {emulator.port}: Address already in use\n")
    assert second.exit_code() == 1


@pytest.mark.parametrize("option", ["--http-port=0", "--bitrate=fast", "--start-delay=nan"])
def test_refuses_a_value_it_cannot_use(start: Start, option: str) -> None:
    emulator = start(option)
    emulator.wait_for_line(f"bad option: {option.partition('=')[0]}")
    assert emulator.exit_code() == 2


def test_answers_again_after_it_ran_out_of_descriptors(emulator: Emulator) -> None:
    resource.prlimit(emulator.process.pid, resource.RLIMIT_NOFILE, (16, 16))
    descriptors = Path(f"/proc/{emulator.process.pid}/fd")
    with ExitStack() as crowd:
        for _ in range(32):
            crowd.enter_context(socket.create_connection(("127.0.0.1", emulator.port), LIMIT_S))
        # The sixteenth is set aside for the admin port's next connection.
        until(lambda: len([*descriptors.iterdir()]) == 15)
    assert emulator.status().status == 200


def test_is_light(emulator: Emulator, play: Play) -> None:
    assert len(play(emulator).take(1 << 20)) == 1 << 20
    fields = Path(f"/proc/{emulator.process.pid}/status").read_text().split()
    assert int(fields[fields.index("VmRSS:") + 1]) <= 20 * 1024  # KiB


def test_runs_alone_with_nothing_but_the_standard_library(tmp_path: Path) -> None:
    """As in an image that holds only this folder; what it imports is few enough to be named."""
    [folder] = acekeeper.emulator.__path__
    (tmp_path / "engine").symlink_to(folder)
    script = (
        "import sys; before = set(sys.modules)\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "import engine\n"
        "print(*(set(sys.modules) - before))"
    )
    printed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True
    ).stdout
    imported = {name.partition(".")[0] for name in printed.split()}
    assert "engine" in imported
    assert imported <= sys.stdlib_module_names | {"engine"}
    assert not imported & {"asyncio", "dataclasses", "hashlib", "http", "inspect", "ssl"}


def test_a_restart_forgets_every_session(start: Start, emulator: Emulator) -> None:
    session = emulator.open()
    with emulator.asked("/") as client, client.makefile("rb") as answer:
        answer.read()  # to the end: the side that closes first keeps the port busy for a minute
    emulator.process.terminate()
    assert emulator.exit_code() == 0
    again = start("--start-delay", "0", http_port=emulator.port).ready()
    assert again.stat(session) == {"response": None, "error": "unknown playback session id"}


def test_starts_without_an_admin_port(start: Start) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "acekeeper.emulator", f"--http-port={port}", "--start-delay=0"],
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: connects("127.0.0.1", port))
    finally:
        process.terminate()
        assert process.wait(LIMIT_S) == 0
