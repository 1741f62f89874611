"""The child-process runtime, with real processes: the emulator, or stand-ins that misbehave."""

import asyncio
import os
import select
import signal
import socket
import sys
import threading
import time
from asyncio import AbstractEventLoop, Queue
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvloop
from msgspec.structs import replace

from acekeeper.adapters import engine_logs, proc, processes
from acekeeper.adapters.engine import EngineClient
from acekeeper.adapters.proc import Process
from acekeeper.adapters.processes import Processes, note_stops, stop_all
from acekeeper.adapters.spawn import spawn
from acekeeper.core.build import Build
from acekeeper.core.facts import (
    EngineDied,
    EngineStarted,
    EngineStopFailed,
    Fact,
    Found,
    RuntimeConnected,
)
from acekeeper.core.model import Now
from acekeeper.core.names import Ports, Slot
from acekeeper.errors import (
    EngineFailed,
    NoAnswer,
    PortTaken,
    RuntimeUnavailable,
    StartTimedOut,
)
from acekeeper.settings import load

from ..ports import free_ports
from .policies import ONCE

HOST = "127.0.0.1"
LIMIT_S = 30.0
PYTHON = (sys.executable, "-ISc")

# A stand-in says on the pipe named by its last argument when it has got so far.
SAY = """
import os, signal, sys
def say(*words):
    with open(sys.argv[-1], "a") as pipe:
        print(*words, file=pipe)
"""
WAITS = f"{SAY}say('up', os.getpid())\nsignal.pause()"
DEAF = f"{SAY}signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{WAITS}"
# Says which signals came; SIGWINCH has a higher number than SIGTERM, so it is handled later.
HEARS = f"""{SAY}
for number in (signal.SIGTERM, signal.SIGWINCH):
    signal.signal(number, lambda number, _: say(signal.Signals(number).name))
say('up')
while True:
    signal.pause()
"""
# Like a shell script: the engine is its child, and no signal is passed on.
SCRIPT = f"{SAY}if os.fork() == 0:\n  %s\nsignal.pause()"
CHILD = "say('up', os.getpid()); signal.pause()"
DEAF_CHILD = f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {CHILD}"
EXITS = "import sys; sys.exit(3)"
# Prints until its log is full, and again each time it has begun anew.
FILLS = f"""{SAY}
import time
while True:
    for _ in range(100):
        os.write(1, b'x' * 999 + b'\\n')
    while os.fstat(1).st_size > 50_000:
        time.sleep(0.001)
    say('anew')
"""
PRINTS = f"{SAY}os.write(1, b'out of %s ' % sys.argv[1].encode())\nos.write(2, b'err')\n{WAITS}"


def clock() -> Now:
    return Now(time.time(), time.monotonic())


class Pipe:
    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        # For writing too, or it would end whenever a writer is through.
        self._fd = os.open(path, os.O_RDWR)
        self._heard = b""

    def line(self) -> str:
        deadline = time.monotonic() + LIMIT_S
        while b"\n" not in self._heard:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"only heard {self._heard!r}"
            self._heard += os.read(self._fd, 4096)
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    pipe = Pipe(tmp_path / "pipe")
    yield pipe
    pipe.close()


class Engine(NamedTuple):
    slot: Slot
    ports: Ports
    incarnation: str
    container_id: str
    build: Build

    @property
    def process(self) -> Process:
        pid, started, _ = self.incarnation.split(":")
        return Process(int(pid), int(started), int(pid))

    def signal(self, number: signal.Signals) -> None:
        with proc.holding([self.process]) as (pidfd,):
            proc.send(pidfd, number)

    def is_running(self) -> bool:
        with proc.holding([self.process]) as pidfds:
            return bool(pidfds)

    @property
    def found(self) -> Found:
        return Found(self.slot, self.incarnation, self.container_id, build=self.build)


class World:
    """A state directory, the runtimes opened on it, and what they told."""

    def __init__(self, state_dir: Path, pipe: Pipe) -> None:
        self.state_dir = state_dir
        self.pipe = pipe
        self.addresses: tuple[str, ...] = (HOST,)
        self.told: Queue[Fact] = Queue()
        self.opened: list[Processes] = []
        self.engines: list[Engine] = []

    async def runtime(self, *command: str, **times: float) -> Processes:
        given: dict[str, Any] = {"kill_after": LIMIT_S, **times}
        runtime = Processes(self.addresses, command, self.state_dir, clock, **given)
        await runtime.open(self.told.put_nowait)
        assert self.told.get_nowait() == RuntimeConnected()
        self.opened.append(runtime)
        return runtime

    async def stand_ins(self, code: str, *words: str, **times: float) -> Processes:
        command = (*PYTHON, code, *words, str(self.pipe.path))
        return await self.runtime(*command, **times)

    async def start(self, runtime: Processes, ports: Ports | None = None) -> Engine:
        ports = ports or free_ports()
        fact = await runtime.start(Slot(HOST, ports.http), ports)
        engine = Engine(fact.slot, ports, fact.incarnation, fact.container_id, fact.build)
        self.engines.append(engine)
        return engine

    async def hear(self) -> Fact:
        """The moment of a death apart, which no test knows beforehand."""
        async with asyncio.timeout(LIMIT_S):
            fact = await self.told.get()
        return replace(fact, at=None) if isinstance(fact, EngineDied) else fact

    def end(self) -> None:
        """Whatever the test left running."""
        for engine in self.engines:
            with proc.holding([engine.process]) as pidfds:
                for pidfd in pidfds:
                    proc.send(pidfd, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(engine.process.pid, 0)
        stop_all(self.state_dir, kill_after=0)


@pytest.fixture
async def world(tmp_path: Path, pipe: Pipe) -> AsyncIterator[World]:
    world = World(tmp_path / "state", pipe)
    yield world
    for runtime in world.opened:
        await runtime.close()
    world.end()


def files_of(pid: int) -> dict[int, str]:
    files: dict[int, str] = {}
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            files[int(fd.name)] = str(fd.readlink())
    return files


def own_files() -> list[str]:
    """But for /proc, which a thread may still be reading."""
    return sorted(f for f in files_of(os.getpid()).values() if not f.startswith("/proc"))


def is_over(process: Process) -> bool:
    with proc.holding([process]) as pidfds:
        return all(proc.ended(pidfd, LIMIT_S) for pidfd in pidfds)


async def answers(client: EngineClient, slot: Slot) -> bool:
    try:
        await client.status(slot)
    except NoAnswer:
        return False
    return True


async def test_an_engine_answers_and_is_listed(world: World) -> None:
    emulator = (sys.executable, "-m", "acekeeper.emulator", "--start-delay", "0")
    runtime = await world.runtime(*emulator, "--http-port={http_port}")
    engine = await world.start(runtime)
    before = clock()
    listing = await runtime.list()
    assert listing.found == (engine.found,)
    assert (listing.host, listing.boot) == (HOST, proc.boot_id())
    assert before.mono <= listing.as_of.mono <= clock().mono
    assert len(engine.container_id) == 64

    client = EngineClient(clock, ONCE, 10)
    try:
        async with asyncio.timeout(LIMIT_S):
            while not await answers(client, engine.slot):
                pass  # every look is a call to the engine
    finally:
        await client.close()


async def test_every_port_goes_into_the_command(world: World, pipe: Pipe) -> None:
    code = f"{SAY}say(*sys.argv[1:-1])\nsignal.pause()"
    words = ("--http={http_port}", "{https_port}", "{p2p_port}", "{api_port}", "{{}}")
    engine = await world.start(await world.stand_ins(code, *words))
    http, https, p2p, api = engine.ports
    assert pipe.line() == f"--http={http} {https} {p2p} {api} {{}}"


async def test_a_start_that_takes_too_long_is_given_up_and_ended_when_it_comes(
    world: World, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()

    def hanging(*given: Any) -> int:
        assert hangs.wait(LIMIT_S)
        return spawn(*given)

    monkeypatch.setattr(processes, "spawn", hanging)
    runtime = await world.stand_ins(WAITS, start_within=0.05)
    ports = free_ports()
    with pytest.raises(StartTimedOut, match=r"within the 0\.05 s of PROVISION_TIMEOUT_S"):
        await world.start(runtime, ports)
    with pytest.raises(PortTaken):
        await world.start(runtime, ports)
    hangs.set()
    died = await world.hear()
    assert isinstance(died, EngineDied)
    assert (died.slot, died.detail) == (Slot(HOST, ports.http), "SIGKILL")
    assert (await runtime.list()).found == ()


async def test_a_killed_engine_is_told_once(world: World) -> None:
    runtime = await world.stand_ins(WAITS)
    engine = await world.start(runtime)
    engine.signal(signal.SIGKILL)
    assert await world.hear() == EngineDied(engine.slot, engine.incarnation, "killed", "SIGKILL")
    assert (await runtime.list()).found == ()
    assert world.told.empty()


async def test_an_exit_is_told_with_its_code(world: World) -> None:
    engine = await world.start(await world.stand_ins(EXITS))
    assert await world.hear() == EngineDied(engine.slot, engine.incarnation, "exited", "code 3")


async def test_a_signal_without_a_name_is_told_by_its_number(world: World) -> None:
    code = "import os; os.kill(os.getpid(), 40)"
    engine = await world.start(await world.stand_ins(code))
    assert await world.hear() == EngineDied(engine.slot, engine.incarnation, "killed", "signal 40")


async def test_no_zombie_stays(world: World) -> None:
    engine = await world.start(await world.stand_ins(EXITS))
    await world.hear()
    assert proc.read(engine.process.pid) is None


def spawn_and_see_it_end(*given: Any) -> int:
    pid = spawn(*given)
    pidfd = os.pidfd_open(pid)
    assert proc.ended(pidfd, LIMIT_S)
    os.close(pidfd)
    return pid


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_start_is_named_before_its_death_is_told(
    tmp_path: Path,
    pipe: Pipe,
    monkeypatch: pytest.MonkeyPatch,
    new_loop: Callable[[], AbstractEventLoop],
) -> None:
    monkeypatch.setattr(processes, "spawn", spawn_and_see_it_end)

    async def scenario() -> None:
        world = World(tmp_path / "state", pipe)
        runtime = await world.stand_ins(EXITS)
        ports = free_ports()
        # As a task, for its awaiter runs a turn later than it does.
        started = asyncio.create_task(runtime.start(Slot(HOST, ports.http), ports))
        started.add_done_callback(lambda done: world.told.put_nowait(done.result()))
        named, told = await world.hear(), await world.hear()
        assert isinstance(named, EngineStarted)
        assert told == EngineDied(named.slot, named.incarnation, "exited", "code 3")
        await runtime.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


async def test_an_engine_is_told_the_addresses_that_are_there_and_keeps_them(world: World) -> None:
    world.addresses = (HOST, "192.0.2.1", "127.0.0.2")
    there = (HOST, "127.0.0.2")
    runtime = await world.stand_ins(f"{SAY}say(sys.argv[1])\nsignal.pause()", "{addresses}")
    engine = await world.start(runtime)
    assert world.pipe.line() == ",".join(there)
    found = (replace(engine.found, addresses=there),)
    assert (await runtime.list()).found == found
    world.addresses = (HOST,)
    other = await (await world.runtime()).list()
    assert other.found == found
    assert other.build != found[0].build  # another command would be run now


async def test_the_emulator_listens_at_every_address(world: World) -> None:
    world.addresses = (HOST, "127.0.0.2")
    engine = await world.start(await world.runtime(*load({}).engine_command))
    client = EngineClient(clock, ONCE, 10)
    try:
        async with asyncio.timeout(LIMIT_S):
            for address in world.addresses:
                while not await answers(client, Slot(address, engine.slot.port)):
                    pass  # every look is a call to the engine
    finally:
        await client.close()


async def test_a_list_does_not_name_what_is_being_started(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its death would be told before anybody knows the start."""
    spawned, may_return = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def spawn_slowly(*given: Any) -> int:
        pid = spawn(*given)
        loop.call_soon_threadsafe(spawned.set)
        asyncio.run_coroutine_threadsafe(may_return.wait(), loop).result(LIMIT_S)
        return pid

    monkeypatch.setattr(processes, "spawn", spawn_slowly)
    runtime = await world.stand_ins(WAITS)
    starting = asyncio.create_task(world.start(runtime))
    async with asyncio.timeout(LIMIT_S):
        await spawned.wait()
    assert (await runtime.list()).found == ()
    may_return.set()
    engine = await starting
    assert (await runtime.list()).found == (engine.found,)


async def test_stop_asks_the_engine_to_end(world: World, pipe: Pipe) -> None:
    runtime = await world.stand_ins(WAITS)
    engine = await world.start(runtime)
    pipe.line()
    await runtime.stop(engine.slot, engine.incarnation)
    assert await world.hear() == EngineDied(engine.slot, engine.incarnation, "killed", "SIGTERM")


async def test_an_engine_deaf_to_it_is_killed(world: World, pipe: Pipe) -> None:
    runtime = await world.stand_ins(DEAF, kill_after=0.05)
    engine = await world.start(runtime)
    pipe.line()
    await runtime.stop(engine.slot, engine.incarnation)
    assert await world.hear() == EngineDied(engine.slot, engine.incarnation, "killed", "SIGKILL")


def test_an_engine_has_ten_seconds_to_end() -> None:
    assert processes._KILL_AFTER == 10.0


async def behind_a_script(
    world: World, child: str, kill_after: float = LIMIT_S
) -> tuple[Processes, Engine, Process]:
    runtime = await world.stand_ins(SCRIPT % child, kill_after=kill_after)
    engine = await world.start(runtime)
    process = proc.read(int(world.pipe.line().split()[1]))
    assert process
    return runtime, engine, process


async def test_stop_reaches_the_engine_behind_a_script(world: World) -> None:
    runtime, engine, child = await behind_a_script(world, CHILD)
    await runtime.stop(engine.slot, engine.incarnation)
    assert is_over(child)


async def test_a_deaf_engine_behind_a_script_is_killed(world: World) -> None:
    """The script itself is long gone then."""
    runtime, engine, child = await behind_a_script(world, DEAF_CHILD, kill_after=0.1)
    await runtime.stop(engine.slot, engine.incarnation)
    assert isinstance(await world.hear(), EngineDied)
    assert await asyncio.to_thread(is_over, child)


async def test_an_engine_whose_script_died_ends_too(world: World) -> None:
    """It would hold its ports, and nobody would know of it."""
    _, engine, child = await behind_a_script(world, DEAF_CHILD)
    engine.signal(signal.SIGKILL)
    assert isinstance(await world.hear(), EngineDied)
    assert await asyncio.to_thread(is_over, child)


async def test_another_start_is_never_signalled(world: World, pipe: Pipe) -> None:
    runtime = await world.stand_ins(HEARS)
    engine = await world.start(runtime)
    assert pipe.line() == "up"
    pid, started, boot = engine.incarnation.split(":")
    for stale in (f"{pid}:{int(started) - 1}:{boot}", f"{pid}:{started}:earlier", ""):
        await runtime.stop(engine.slot, stale)
    await runtime.stop(Slot(HOST, engine.slot.port + 1), engine.incarnation)
    engine.signal(signal.SIGWINCH)
    assert pipe.line() == "SIGWINCH"


async def test_a_number_used_again_is_not_the_same_process(world: World) -> None:
    engine = await world.start(await world.stand_ins(WAITS))
    earlier = engine.process._replace(started=engine.process.started - 1)
    before = own_files()
    with proc.holding([engine.process, earlier]) as pidfds:
        assert len(pidfds) == 1
    assert own_files() == before


async def test_a_process_that_cannot_be_signalled_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_pidfd: int, number: int) -> None:
        if number in refused:
            raise PermissionError(1, "Operation not permitted")

    refused = {signal.SIGTERM}
    runtime = await world.stand_ins(WAITS, kill_after=0)
    engine = await world.start(runtime)
    with monkeypatch.context() as patched:
        patched.setattr(signal, "pidfd_send_signal", refuse)
        with pytest.raises(EngineFailed, match="not permitted"):
            await runtime.stop(engine.slot, engine.incarnation)
        refused = {signal.SIGKILL}
        await runtime.stop(engine.slot, engine.incarnation)
        failed = await world.hear()
    assert isinstance(failed, EngineStopFailed)
    assert (failed.slot, failed.incarnation) == (engine.slot, engine.incarnation)


@pytest.mark.parametrize(
    ("index", "kind", "name"),
    [
        (0, socket.SOCK_STREAM, "HTTP"),
        (1, socket.SOCK_STREAM, "HTTPS"),
        (2, socket.SOCK_STREAM, "peer-to-peer"),
        (2, socket.SOCK_DGRAM, "peer-to-peer"),
        (3, socket.SOCK_STREAM, "API"),
    ],
)
async def test_a_port_that_is_taken_is_named(
    world: World, index: int, kind: socket.SocketKind, name: str
) -> None:
    runtime = await world.stand_ins(WAITS)
    ports = free_ports()
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("0.0.0.0", ports[index]))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        with pytest.raises(PortTaken, match=f"{name} port {ports[index]} "):
            await world.start(runtime, ports)
    assert (await runtime.list()).found == ()


async def test_lingering_connections_do_not_hold_a_port(world: World) -> None:
    ports = free_ports()
    with (
        socket.create_server((HOST, ports.http)) as server,
        socket.create_connection((HOST, ports.http)) as client,
    ):
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first lingers
        assert client.recv(1) == b""
    await world.start(await world.stand_ins(WAITS), ports)


async def test_a_slot_has_one_engine(world: World) -> None:
    """Also while its engine has not yet bound its ports."""
    runtime = await world.stand_ins(WAITS)
    engine = await world.start(runtime)
    with pytest.raises(PortTaken, match="has an engine already"):
        await world.start(runtime, engine.ports)


@pytest.mark.parametrize("content", [None, "#!/bin/sh\n", "#!/no/such/interpreter\n"])
async def test_a_command_that_cannot_be_run_names_its_setting(
    world: World, tmp_path: Path, content: str | None
) -> None:
    program = tmp_path / "engine"
    if content is not None:
        program.write_text(content)
        program.chmod(0o644 if "/bin/sh" in content else 0o755)
    runtime = await world.runtime(str(program))
    with pytest.raises(EngineFailed) as failed:
        await world.start(runtime)
    assert str(program) in failed.value.message
    assert "ENGINE_COMMAND" in failed.value.hint
    assert (await runtime.list()).found == ()


async def test_a_relative_command_means_our_directory(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "engine"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    engine = await world.start(await world.runtime("./engine"))
    assert await world.hear() == EngineDied(engine.slot, engine.incarnation, "exited", "code 7")


async def test_an_engine_inherits_nothing_of_ours_it_should_not(
    world: World, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "API_KEY",
        "API_KEY_PREVIOUS",
        "API_KEY_READ",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
    ):
        monkeypatch.setenv(name, "ours")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/engine/lib")
    with socket.create_server((HOST, 0)) as inherited:
        inherited.set_inheritable(True)
        engine = await world.start(await world.stand_ins(WAITS))
        pipe.line()
    child = Path(f"/proc/{engine.process.pid}")
    environment = (child / "environ").read_bytes().split(b"\0")
    assert b"LD_LIBRARY_PATH=/engine/lib" in environment
    assert not [assignment for assignment in environment if assignment.endswith(b"=ours")]
    log = world.state_dir / "logs" / f"engine-{engine.slot.port}.log"
    files = {
        fd: file for fd, file in files_of(engine.process.pid).items() if file != str(pipe.path)
    }
    assert files == {0: "/dev/null", 1: str(log), 2: str(log)}
    assert (child / "cwd").readlink() == world.state_dir
    assert "Umask:\t0077" in (child / "status").read_text()
    assert os.getsid(engine.process.pid) == engine.process.pid


async def test_the_log_holds_the_last_two_starts(world: World, pipe: Pipe) -> None:
    ports = free_ports()
    logs = world.state_dir / "logs"
    log = logs / f"engine-{ports.http}.log"
    for run in ("one", "two", "three"):
        runtime = await world.stand_ins(PRINTS, run)
        engine = await world.start(runtime, ports)
        pipe.line()
        assert log.read_text() == f"out of {run} err"
        engine.signal(signal.SIGKILL)
        await world.hear()
    assert log.with_name(f"{log.name}.1").read_text() == "out of two err"
    assert len(list(logs.iterdir())) == 2


async def test_a_log_that_is_full_begins_anew_while_its_engine_prints_on(
    world: World, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_logs, "LARGEST", 50_000)
    monkeypatch.setattr(processes, "_LOGS_EVERY", 0.001)
    engine = await world.start(await world.stand_ins(FILLS))
    log = world.state_dir / "logs" / f"engine-{engine.slot.port}.log"
    for _ in range(3):
        assert await asyncio.to_thread(pipe.line) == "anew"
    assert engine.is_running()
    assert not log.read_bytes().startswith(b"\0")  # it goes on at the beginning, and leaves no hole


async def test_where_no_log_can_be_written_the_engine_runs_all_the_same(
    world: World, pipe: Pipe
) -> None:
    world.state_dir.mkdir(exist_ok=True)
    (world.state_dir / "logs").write_text("no directory")
    engine = await world.start(await world.stand_ins(WAITS))
    assert pipe.line().startswith("up ")
    assert engine.is_running()


# acekeeper, killed before `start` could name the engine it has just spawned.
KILLED_ACEKEEPER = """
import asyncio, os, signal, sys
from pathlib import Path
from acekeeper.adapters import processes
from acekeeper.core.model import Now
from acekeeper.core.names import Ports, Slot

real_spawn = processes.spawn

def spawn(*args):
    real_spawn(*args)
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    state_dir, ports, command = Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]
    processes.spawn = spawn
    runtime = processes.Processes(("127.0.0.1",), command, state_dir, lambda: Now(0, 0))
    await runtime.open(lambda fact: None)
    ports = Ports(*map(int, ports))
    await runtime.start(Slot("127.0.0.1", ports.http), ports)

asyncio.run(main())
"""


async def orphan(world: World, code: str = WAITS) -> tuple[Ports, int]:
    """An engine that is running and whose acekeeper is not, and the pid it says to have."""
    ports = free_ports()
    command = (*PYTHON, code, str(world.pipe.path))
    numbers = ",".join(map(str, ports))
    acekeeper = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED_ACEKEEPER, str(world.state_dir), numbers, *command),
        stdin=asyncio.subprocess.PIPE,
    )
    assert await acekeeper.wait() == -signal.SIGKILL
    return ports, int(world.pipe.line().split()[1])


def engine_of(found: Found, ports: Ports) -> Engine:
    return Engine(found.slot, ports, found.incarnation, found.container_id, found.build)


async def test_an_engine_that_outlives_acekeeper_is_found(world: World) -> None:
    ports, _ = await orphan(world)
    (found,) = (await (await world.runtime()).list()).found
    assert found.slot == Slot(HOST, ports.http)
    (again,) = (await (await world.runtime()).list()).found
    assert again == found  # each run gives it the same names

    engine = engine_of(found, ports)
    assert files_of(engine.process.pid)[0] == os.devnull  # acekeeper's was a pipe
    engine.signal(signal.SIGKILL)
    for _ in world.opened:
        assert await world.hear() == EngineDied(found.slot, found.incarnation, "gone")


async def test_an_engine_found_can_be_stopped(world: World) -> None:
    ports, _ = await orphan(world)
    runtime = await world.runtime()
    (found,) = (await runtime.list()).found
    await runtime.stop(found.slot, found.incarnation)
    assert await world.hear() == EngineDied(found.slot, found.incarnation, "gone")
    assert (await runtime.list()).found == ()
    assert not engine_of(found, ports).is_running()


async def test_of_two_sessions_of_an_engine_the_elder_is_it(world: World) -> None:
    ports, younger = await orphan(world, SCRIPT % f"os.setsid(); {CHILD}")
    (found,) = (await (await world.runtime()).list()).found
    assert engine_of(found, ports).process.pid != younger


async def test_what_a_script_left_behind_is_no_engine(world: World) -> None:
    ports, _ = await orphan(world, SCRIPT % CHILD)
    earlier = await world.runtime()
    (found,) = (await earlier.list()).found
    await earlier.close()
    script = engine_of(found, ports)
    with proc.holding([script.process]) as (pidfd,):
        proc.send(pidfd, signal.SIGKILL)
        assert proc.ended(pidfd, LIMIT_S)
    assert (await (await world.runtime()).list()).found == ()


async def test_engines_of_another_state_directory_are_not_ours(
    world: World, tmp_path: Path, pipe: Pipe
) -> None:
    theirs = World(tmp_path / "state-2", pipe)
    engine = await theirs.start(await theirs.stand_ins(WAITS))
    pipe.line()
    assert (await (await world.runtime()).list()).found == ()
    assert stop_all(world.state_dir) == 0
    assert engine.is_running()
    await theirs.opened[0].close()
    theirs.end()


async def test_a_state_directory_is_the_same_by_another_way(
    world: World, tmp_path: Path, pipe: Pipe
) -> None:
    engine = await world.start(await world.stand_ins(WAITS))
    pipe.line()
    (tmp_path / "link").symlink_to(world.state_dir)
    other = Processes((HOST,), ("unused",), tmp_path / "link", clock)
    await other.open(world.told.put_nowait)
    assert (await other.list()).found == (engine.found,)
    await other.close()


async def test_engines_go_on_when_we_close(world: World, pipe: Pipe) -> None:
    runtime = await world.stand_ins(WAITS)
    engine = await world.start(runtime)
    pipe.line()
    await runtime.close()
    assert engine.is_running()
    assert (await (await world.runtime()).list()).found == (engine.found,)


async def test_close_forgets_a_kill_to_come(world: World, pipe: Pipe) -> None:
    runtime = await world.stand_ins(DEAF)
    engine = await world.start(runtime)
    pipe.line()
    await runtime.stop(engine.slot, engine.incarnation)
    await runtime.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert engine.is_running()


async def test_a_world_that_cannot_be_seen_is_not_an_empty_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await world.runtime()
    with monkeypatch.context() as patched:
        patched.setattr(proc, "_PROC", tmp_path / "nothing")
        with pytest.raises(RuntimeUnavailable, match="cannot be listed"):
            await runtime.list()


async def test_no_descriptor_stays(world: World, pipe: Pipe) -> None:
    async def cycle() -> None:
        runtime = await world.stand_ins(WAITS)
        engine = await world.start(runtime)
        pipe.line()
        await runtime.list()
        engine.signal(signal.SIGKILL)
        await world.hear()
        kept = await world.start(runtime)
        pipe.line()
        await runtime.close()
        other = await world.runtime()
        await other.list()
        await other.stop(kept.slot, kept.incarnation)
        await world.hear()
        await other.close()

    await cycle()
    before = own_files()
    await cycle()
    assert own_files() == before


async def test_stop_all_ends_every_engine_and_says_how_many(world: World, pipe: Pipe) -> None:
    runtime = await world.stand_ins(WAITS)
    ended = {(await world.start(runtime)).incarnation for _ in range(2)}
    _, _, child = await behind_a_script(world, CHILD)
    for _ in ended:
        pipe.line()
    assert await asyncio.to_thread(stop_all, world.state_dir) == 3
    assert is_over(child)
    for _ in range(3):
        fact = await world.hear()
        assert isinstance(fact, EngineDied)
        assert fact.detail == "SIGTERM"
    assert stop_all(world.state_dir) == 0


async def test_the_next_run_knows_what_was_stopped(world: World, pipe: Pipe) -> None:
    runtime = await world.stand_ins(WAITS)
    starts = {(await world.start(runtime)).incarnation for _ in range(2)}
    for _ in starts:
        pipe.line()
    await runtime.close()
    for _ in range(2):  # the second one finds nothing, and leaves the word of the first
        await asyncio.to_thread(note_stops, world.state_dir)
        await asyncio.to_thread(stop_all, world.state_dir)
    listing = await (await world.runtime()).list()
    assert listing.found == ()
    assert listing.stopped == starts


async def test_a_word_that_cannot_be_read_is_none(world: World) -> None:
    (world.state_dir / "stopped").mkdir(parents=True)
    assert (await (await world.runtime()).list()).stopped == frozenset()


async def test_stop_all_kills_the_deaf(world: World, pipe: Pipe) -> None:
    await world.start(await world.stand_ins(DEAF))
    pipe.line()
    assert await asyncio.to_thread(stop_all, world.state_dir, 0.05) == 1
    fact = await world.hear()
    assert isinstance(fact, EngineDied)
    assert fact.detail == "SIGKILL"
