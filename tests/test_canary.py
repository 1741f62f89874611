"""`acekeeper canary`, where systemd is a stand-in that runs what it is told to as a process."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from acekeeper import canary
from acekeeper.drop_ins import drop_ins
from acekeeper.errors import BadSetting, EngineFailed
from acekeeper.settings import load

from .ports import engine_ports, free_port
from .running import COMMAND, LIMIT_S

IMAGE = "ab" * 32
ENGINE = "-m acekeeper.emulator --start-delay 0.1 --http-port $HTTP"
EXITS = "-c raise(SystemExit(3))"
SILENT = "-c __import__('signal').pause()"
SYSTEMCTL = """
import os, pathlib, signal, subprocess, sys
root, words = pathlib.Path(sys.argv[1]), sys.argv[3:]
pids, log = root / "pids", root / "log"
with log.open("a") as file:
    print(*words, file=file)
if words[0] == "cat":
    print((root / "unit").read_text())
elif words[0] == "start":
    (environment,) = (root / "state/canary").glob("*.env")
    text = environment.read_text()
    (root / "environment").write_text(text)
    said = dict(line.split("=", 1) for line in text.splitlines())
    command = (root / "engine").read_text().replace("$HTTP", said["HTTP_PORT"]).split(" ")
    process = subprocess.Popen([sys.executable, *command], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pids.write_text(str(process.pid))
    if command[1].startswith("raise"):
        process.wait()
elif words[0] == "stop" and pids.exists():
    try:
        os.kill(int(pids.read_text()), signal.SIGKILL)
    except ProcessLookupError:
        pass
    pids.unlink()
elif words[0] == "show" and "Listen" in words[1]:
    print((root / "listening").read_text())
elif words[0] == "show":
    pid = int(pids.read_text())
    alive = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], stdout=subprocess.PIPE, text=True)
    runs = alive.stdout.strip() and "Z" not in alive.stdout
    print("ActiveState=" + ("active" if runs else "failed"))
    print(f"MainPID={pid if runs else 0}")
    print("Result=" + ("success" if runs else "exit-code"))
    print(f"ExecMainCode={0 if runs else 1}")
    print(f"ExecMainStatus={0 if runs else 3}")
"""


class World:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.canary = root / "state/canary"
        self.environ = {
            "RUNTIME": "quadlet",
            "TARGET_IMAGE": IMAGE,
            "STATE_DIR": str(root / "state"),
            "MAX_REPLICAS": "2",
            "PROVISION_STARTUP_GRACE_S": "60",
            "APP_PORT": str(free_port()),
            "GATEWAY_PORT": str(free_port()),
            **engine_ports(2),
        }

    def tool(self, name: str, script: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def prove(self) -> str:
        return "\n".join(canary.prove(self.environ))

    def asked(self, word: str) -> list[str]:
        log = (self.root / "log").read_text().splitlines()
        return [line for line in log if line.startswith(word)]


@pytest.fixture
def alone() -> Iterator[None]:
    """Every canary looks for free ports from the same one on. Two at once, in two processes of
    pytest, would take the same ports and answer for each other."""
    name = f"acekeeper-canary-{os.getuid()}.lock"
    with Path(tempfile.gettempdir(), name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: None) -> Iterator[World]:
    world = World(tmp_path)
    for name in ("bin", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "systemctl.py").write_text(SYSTEMCTL)
    (tmp_path / "engine").write_text(ENGINE)
    (tmp_path / "unit").write_text("[Service]")
    (tmp_path / "listening").write_text("ActiveState=inactive")
    world.tool("systemctl", f'exec {sys.executable} {tmp_path}/systemctl.py {tmp_path} "$@"')
    world.tool("podman", "exit 0")
    world.tool("journalctl", "echo what the engine said")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    yield world
    pids = tmp_path / "pids"
    if pids.exists():
        os.kill(int(pids.read_text()), signal.SIGKILL)
    assert not pids.exists(), "the canary was left"
    assert not list(world.canary.glob("*.env"))


def test_an_engine_that_gets_ready_is_proved_once(world: World) -> None:
    assert f"An engine of {IMAGE} was ready after" in world.prove()
    assert len(world.asked("start")) == 1
    assert "proved last" in world.prove()
    assert len(world.asked("start")) == 1
    (world.root / "unit").write_text("[Service]\nMemoryMax=1G")
    assert "was ready after" in world.prove()
    world.environ["TARGET_IMAGE"] = "cd" * 32
    assert "was ready after" in world.prove()
    assert len(world.asked("start")) == 3


def test_its_ports_are_beyond_all_that_the_settings_name(world: World) -> None:
    world.prove()
    (start,) = world.asked("start")
    port = int(start.partition("@")[2].partition(".")[0])
    settings = load(world.environ)
    bases = (settings.engine_https_base, settings.engine_p2p_base, settings.engine_api_base)
    ours = {settings.app_port, settings.gateway_port, *settings.port_range_host}
    ours.update(base + n for base in bases for n in range(2))
    assert not ours & {*range(port, port + 4)}


def test_where_engines_are_behind_vpns_it_has_no_way_out(world: World) -> None:
    world.prove()
    assert "ENGINE_NETWORK" not in (world.root / "environment").read_text()
    (world.root / "unit").write_text("[Service]\nMemoryMax=1G")  # so that it is tried again
    world.environ |= {"VPNS": "de", "VPN_SLOTS": "2"}
    world.prove()
    said = (world.root / "environment").read_text().splitlines()
    assert "ENGINE_NETWORK=pasta:-4,-o,127.0.0.1" in said
    assert "NO_NAMES=--dns=127.0.0.1" in said


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (EXITS, "becomes ready here: code 3"),
        (SILENT, "it runs, and did not answer within PROVISION_STARTUP_GRACE_S=0.5"),
    ],
)
def test_why_an_engine_does_not_get_ready_is_said(world: World, engine: str, said: str) -> None:
    (world.root / "engine").write_text(engine)
    world.environ["PROVISION_STARTUP_GRACE_S"] = "0.5" if engine == SILENT else "60"
    for _ in range(2):  # the second time too: it was not proved
        with pytest.raises(EngineFailed) as failed:
            world.prove()
        assert said in str(failed.value)
        assert "what the engine said" in str(failed.value)


def test_an_image_that_is_not_there_is_said(world: World) -> None:
    world.tool("podman", "exit 1")
    with pytest.raises(EngineFailed, match=r"is not on this host\. The playbook with"):
        world.prove()


def test_what_an_interrupted_run_left_goes(world: World) -> None:
    world.canary.mkdir(parents=True)
    (world.canary / "30000.env").touch()
    world.prove()
    assert not (world.canary / "30000.env").exists()


@pytest.mark.parametrize("name", ["HUP", "INT", "TERM"])
def test_one_that_is_ended_leaves_no_engine(world: World, name: str) -> None:
    started = f'{sys.executable} {world.root}/systemctl.py {world.root} "$@"'
    world.tool("systemctl", f'{started}; if [ "$2" = start ]; then kill -{name} $PPID; fi')
    environ = {**os.environ, **world.environ}
    ended = subprocess.run([COMMAND, "canary"], env=environ, timeout=LIMIT_S, check=False)
    assert ended.returncode == 128 + signal.Signals[f"SIG{name}"]
    assert len(world.asked("start")) == 1


def test_what_the_hosts_owner_adds_to_engines_is_in_force_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = world.root / "config/systemd/user/engine@.service.d"
    owners.mkdir(parents=True)
    (owners / "owner.conf").write_text("[Service]\nNice=5\n")
    (owners / "limits.conf").write_text("of the settings before")
    monkeypatch.setattr(
        canary, "drop_ins", lambda _: {"engine@.service.d/limits.conf": "new", "other.d/x": ""}
    )
    there = world.root / "run/systemd/user/canary@.service.d"
    copied = f"mkdir -p {world.root}/seen; cp {there}/* {world.root}/seen 2> /dev/null"
    run = f'exec {sys.executable} {world.root}/systemctl.py {world.root} "$@"'
    world.tool("systemctl", f"{copied}\n{run}")
    world.prove()
    seen = {path.name: path.read_text() for path in (world.root / "seen").iterdir()}
    assert seen == {"owner.conf": "[Service]\nNice=5\n", "limits.conf": "new"}
    assert not there.exists()


def test_no_limits_in_force_go_before_those_that_are_tried() -> None:
    """As the account's drop-in would, before one of the same name below /run."""
    assert [name for name in drop_ins(load({})) if "canary" in name] == []


def test_a_port_of_the_api_that_is_taken_is_refused_and_ours_is_not(world: World) -> None:
    with socket.create_server(("127.0.0.1", int(world.environ["APP_PORT"]))):
        with pytest.raises(BadSetting, match="another program listens on"):
            world.prove()
        assert not (world.root / "pids").exists()
        address = f"127.0.0.1:{world.environ['APP_PORT']}"
        listening = f"Listen={address} (Stream)\nListen=[::1]:1 (Stream)\nActiveState=active"
        (world.root / "listening").write_text(listening)
        world.prove()


def test_the_settings_alone_are_tried_without_an_engine(world: World) -> None:
    world.environ["ENGINE_HOST"] = "192.0.2.1"
    said = "\n".join(canary.prove(world.environ, engine=False))
    assert said == "ENGINE_HOST=192.0.2.1 is not an address of this host now"
    assert {line.split()[0] for line in world.asked("")} == {"show", "list-units"}
    with (
        socket.create_server(("127.0.0.1", int(world.environ["APP_PORT"]))),
        pytest.raises(BadSetting, match="another program listens on"),
    ):
        list(canary.prove(world.environ, engine=False))


def test_what_acekeeper_can_do_without_is_only_said(world: World) -> None:
    world.environ |= {"ENGINE_HOST": "127.0.0.1,192.0.2.1"}
    with (
        socket.create_server(("127.0.0.1", int(world.environ["GATEWAY_PORT"]))),
        socket.create_server(("127.0.0.1", load(world.environ).port_range_host[0])),
    ):
        said = world.prove()
    assert "The gateway will do without: another program listens on" in said
    assert "ENGINE_HOST=192.0.2.1 is not an address of this host now" in said
    assert "Engines will do without: HTTP port" in said
