"""What each thing that is wrong on a host looks like, and what the doctor says to it."""

import json
import os
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from acekeeper import __version__
from acekeeper.adapters import connections
from acekeeper.core.way_out import Route, WayOut
from acekeeper.drop_ins import write
from acekeeper.firewall import firewall
from acekeeper.settings import load

from .conftest import HEALTHY, IMAGE, Answering, World, ready


def test_on_a_healthy_host_all_is_well(world: World) -> None:
    assert world.wrong() == []
    said = [finding.text for finding in world.found()]
    assert "Podman is 5.4.2" in said
    assert "acekeeper-sweep@health.timer is active" in said
    assert "the ports of 2 engines are free, or ours" in said
    assert "the kernel tells who is connected to them" in said
    by = "eth0 via 192.0.2.1 as 192.0.2.5"
    assert f"engines get out by {by}, and ask 192.0.2.53 for names" in said


V4, V6 = Route("192.0.2.1", "eth0", "192.0.2.5"), Route("fe80::1", "eth0", "::1", is_ipv4=False)


@pytest.mark.parametrize(
    ("way", "says"),
    [
        (WayOut(), "this host has no default route of IPv4: engines that start now never"),
        (WayOut(V6, ("192.0.2.53",)), "this host has no default route of IPv4 but one of IPv6: "),
        (WayOut(V4), "/etc/resolv.conf names no nameserver: engines that start now look up no"),
    ],
)
def test_a_way_out_that_an_engine_could_not_use_is_said(
    world: World, way: WayOut, says: str
) -> None:
    world.way = way
    [wrong] = world.wrong()
    assert wrong.startswith(says)


class Case(NamedTuple):
    tool: str
    complaint: str
    says: str
    advises: str


# As the tools themselves say it.
COMPLAINTS = [
    Case(
        "podman",
        "Error: nomap requires additional UIDs or GIDs defined in /etc/subuid and /etc/subgid"
        " to function correctly",
        "Podman: Error: nomap requires",
        "podman system migrate",
    ),
    Case(
        "podman",
        "Error: creating container storage: mkdir /x: no space left on device",
        "Podman: Error: creating container storage",
        "df -i",
    ),
    Case("podman", "Error: 'overlay' is not supported over overlayfs", "overlayfs", "ext4"),
    Case(
        "podman",
        "Error: invalid internal status, try resetting the pause process with podman system"
        " migrate: cannot re-exec process",
        "invalid internal status",
        "`systemctl restart user-runtime-dir@",
    ),
    Case("loginctl", "User ID 995 is not logged in or lingering", "user ", "enable-linger"),
    Case(
        "systemctl",
        "Failed to connect to bus: No medium found",
        "the user's systemd cannot be reached: Failed to connect to bus",
        "dbus-user-session",
    ),
    Case(
        "podman-system-generator",
        'quadlet-generator[7]: converting "engine@.container": unsupported key "Memory" in group',
        "the quadlets cannot be rendered: quadlet-generator[7]",
        "too old for the quadlet",
    ),
]


@pytest.mark.parametrize("case", COMPLAINTS, ids=lambda case: case.advises)
def test_complaints_of_tools_are_known(world: World, case: Case) -> None:
    world.fails(case.tool, case.complaint)
    found = [text for text in world.wrong() if case.says in text]
    assert len(found) == 1
    assert case.advises in found[0]


@pytest.mark.parametrize(
    ("step", "complaint", "advice"),
    [
        ("create", "Error: creating container storage: x", "podman info"),
        ("container", "Error: setting up Pasta: Failed to set up tap device in namespace", "tun"),
        (
            "container",
            "Error: pasta failed with exit code 1: Failed to bind port 21000 (Address already"
            " in use)",
            "ss -ltnup",
        ),
        ("container", "Error: could not find pasta, the network namespace can", "passt"),
    ],
)
def test_a_container_that_cannot_be_set_up(
    world: World, step: str, complaint: str, advice: str
) -> None:
    failing = f'if [ "$1" = {step} ]; then echo "{complaint}" >&2; exit 126; fi\n'
    world.tool("podman", failing + HEALTHY["podman"])
    (text,) = world.wrong()
    assert text.startswith("a container cannot be ")
    assert complaint in text
    assert advice in text


def test_a_container_that_was_set_up_is_removed_even_if_that_failed(world: World) -> None:
    calls = world.root / "calls"
    for failing in ("", 'if [ "$1" = container ]; then exit 126; fi\n'):
        world.tool("podman", f'echo "$*" >> {calls}\n{failing}{HEALTHY["podman"]}')
        world.found()
        assert calls.read_text().splitlines()[-1] == "rm --force --time=0 --volumes 0123abcd"
        calls.unlink()


@pytest.mark.parametrize("said", ["podman version 4.9.3", "podman version 5.4.0", "podman"])
def test_an_old_podman(world: World, said: str) -> None:
    world.tool("podman", f'[ "$1" = --version ] && echo {said} && exit\n{HEALTHY["podman"]}')
    assert world.wrong() == [f"{said} is too old. Install Podman 5.4.1 or newer"]


def test_a_missing_podman(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (world.root / "bin/podman").unlink()
    monkeypatch.setenv("PATH", f"{world.root}/bin")
    assert world.wrong() == ["Podman: podman is not installed. Install the package podman"]


def test_an_image_that_is_not_here(world: World) -> None:
    world.tool("podman", f'[ "$1" = image ] && exit 1\n{HEALTHY["podman"]}')
    (text,) = world.wrong()
    assert text.startswith(f"the engine image {IMAGE} is not here. ")


def test_a_podman_that_cannot_look_for_an_image_says_why(world: World) -> None:
    """It ends as if there were none."""
    said = "Error: cannot re-exec process to join the existing user namespace"
    failing = f'[ "$1" = image ] && echo "{said}" >&2 && exit 1\n'
    world.tool("podman", failing + HEALTHY["podman"])
    (text,) = world.wrong()
    assert text.startswith(f"images: {said}. Run `systemctl restart user-runtime-dir@")


@pytest.mark.parametrize(("active", "advice"), [("active", "restart"), ("inactive", "enable")])
def test_a_podman_socket_nobody_answers_on(world: World, active: str, advice: str) -> None:
    (world.runtime_dir / "podman/podman.sock").unlink()
    world.tool("systemctl", HEALTHY["systemctl"].replace("echo active", f"echo {active}"))
    (text,) = world.wrong()
    assert "(No such file or directory)" in text
    assert f"Run `systemctl --user {advice} " in text


def test_a_user_who_does_not_linger_and_has_few_ids(world: World) -> None:
    world.tool("loginctl", "echo no")
    world.tool("getsubids", '[ "$1" = -g ] && echo 0: acekeeper 100000 1000; exit 1')
    linger, uids, gids = world.wrong()
    assert "does not linger" in linger
    assert "has 0 subordinate uids" in uids
    assert "/etc/subuid" in uids
    assert "has 1000 subordinate gids" in gids
    assert "/etc/subgid" in gids


def test_units_that_are_not_as_they_should_be(world: World) -> None:
    world.tool(
        "systemctl",
        """
case "$*" in
    *LoadState*socket) printf 'LoadState=loaded\\nActiveState=active\\nNeedDaemonReload=yes\\n';;
    *--state=failed*) echo 'acekeeper-sweep@health.service loaded failed failed A sweep';;
    *Result*) echo exit-code;;
    *) echo 257;;
esac""",
    )
    changed, failed = world.wrong()
    assert changed.startswith("acekeeper.socket has changed on disk since it was loaded. ")
    assert failed.startswith("acekeeper-sweep@health.service failed (exit-code). `journalctl ")


def engine_failed(world: World) -> None:
    special = """
case "$*" in
    *--state=failed*) echo 'engine@19000.service loaded failed failed AceStream'; exit;;
    *Result*) echo signal; exit;;
esac"""
    world.tool("systemctl", special + HEALTHY["systemctl"])


def test_the_unit_of_an_engine_that_acekeeper_knows_to_be_dead_is_no_fault(world: World) -> None:
    engine_failed(world)
    assert world.wrong() == []
    (told,) = (finding for finding in world.found() if "engine@19000" in finding.text)
    says = "engine@19000.service failed (signal), and acekeeper goes on without it"
    assert told.text == says
    assert "USER_UNIT=engine@19000.service`, as root, says why" in told.advice
    assert told.fix == ()


def test_one_that_acekeeper_has_not_noticed_is_a_fault(world: World, api: Answering) -> None:
    engine_failed(world)
    api.engines = b'[{"container_name": "engine-19000"}]'
    (text,) = world.wrong()
    assert text.startswith("engine@19000.service failed (signal). `journalctl ")
    assert text.endswith(" forgets it; `acekeeper doctor --fix` does that")


def test_one_that_nobody_replaces_is_a_fault(world: World, api: Answering) -> None:
    engine_failed(world)
    api.body = ready(__version__, is_ready="false")
    assert world.wrong()[0].startswith("engine@19000.service failed (signal). `journalctl ")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        world.environ["APP_PORT"] = str(silent.getsockname()[1])
        write(world.units, load(world.environ))
        assert world.wrong()[0].startswith("engine@19000.service failed (signal). `journalctl ")


@pytest.mark.parametrize(
    ("unit", "shown", "says"),
    [
        ("acekeeper.service", "LoadState=not-found", "acekeeper.service is not-found"),
        (
            "acekeeper.service",
            "LoadState=loaded\nActiveState=failed",
            "acekeeper.service is failed",
        ),
        (
            "acekeeper-sweep@scale.timer",
            "LoadState=loaded\nActiveState=inactive",
            "acekeeper-sweep@scale.timer is inactive",
        ),
    ],
)
def test_units_that_do_not_run(world: World, unit: str, shown: str, says: str) -> None:
    special = f"case \"$*\" in *LoadState*{unit}) printf '{shown}\\n'; exit;; esac\n"
    world.tool("systemctl", special + HEALTHY["systemctl"])
    (text,) = world.wrong()
    assert text.startswith(says)


def test_drop_ins_that_say_something_else(world: World) -> None:
    world.environ["MONITOR_INTERVAL_S"] = "3"
    (text,) = world.wrong()
    path = world.units / "acekeeper-sweep@streams.timer.d/interval.conf"
    assert text.startswith(f"{path} does not say what the settings say. ")
    assert f"`acekeeper settings --drop-ins {world.units}`" in text


def test_a_firewall_that_says_something_else(world: World) -> None:
    world.environ["SETTINGS_FILE"] = str(world.root / "settings.env")
    (world.root / "settings.env").write_text("GATEWAY_ALLOW=192.168.1.0/24")
    table = world.root / "firewall.nft"
    table.write_text(firewall(load(world.environ)))
    assert f"{table} is up to date" in [finding.text for finding in world.found()]
    (world.root / "settings.env").write_text("GATEWAY_ALLOW=192.168.2.0/24")
    (text,) = world.wrong()
    assert text.startswith(f"{table} does not say what the settings say. As root, run ")


def test_a_host_without_the_quadlet(world: World) -> None:
    world.tool("podman-system-generator", "echo ---other.service---")
    (text,) = world.wrong()
    assert f"/etc/containers/systemd/users/{os.getuid()}/" in text


def test_a_tun_that_cannot_be_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acekeeper.doctor.network._TUN", str(world.root / "absent"))
    (text,) = world.wrong()
    assert text.endswith(
        "cannot be used: No such file or directory. Give it mode 0666, as Debian does"
    )


def test_a_kernel_that_lists_no_connections(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_BY_FAMILY", 0xFF)  # no question that it knows
    (text,) = world.wrong()
    assert text == (
        "the kernel does not tell who is connected to engines: sock_diag: Invalid argument."
        " As root, run `modprobe tcp_diag`"
    )


def test_a_port_somebody_else_has_and_one_that_is_ours(world: World) -> None:
    port = int(world.environ["PORT_RANGE_HOST"].split("-")[1])
    with socket.create_server(("127.0.0.1", port)):
        (text,) = world.wrong()
        assert text.startswith(f"HTTP port {port} is taken by another program. ")
        engine = f"engine@{port}.service loaded active running AceStream"
        listing = f'case "$*" in *--state=active*) echo {engine};; esac\n'
        world.tool("systemctl", listing + HEALTHY["systemctl"])
        assert world.wrong() == []


def test_an_engines_port_is_tried_at_every_address_there_is(world: World) -> None:
    world.environ["ENGINE_HOST"] = "127.0.0.2,192.0.2.1"
    port = int(world.environ["PORT_RANGE_HOST"].split("-")[1])
    with socket.create_server(("127.0.0.2", port)):
        (text,) = world.wrong()
    assert text.startswith(f"HTTP port {port} is taken ")


def test_a_vpn_of_which_the_service_says_what_is_wrong(world: World, api: Answering) -> None:
    why = "vpn de: it does not run; no engine starts behind it"
    api.body = ready(__version__, degraded=f'["{why}"]')
    (text,) = world.wrong()
    assert text.startswith(f"{why}. Its log says why: ")


@pytest.mark.parametrize("setting", ["GATEWAY_HOST", "ENGINE_HOST"])
def test_an_address_this_host_has_not_got(world: World, api: Answering, setting: str) -> None:
    """Said by the service, or where there is none, found by trying."""
    why = f"{setting}: 192.0.2.1 is not an address of this host (yet)"
    api.body = ready(__version__, degraded=f'["{why}"]')
    advice = (
        "It is used once it is there, so wait if it is to come (DHCP, a bridge); else mend"
        f" {setting}. `ip -brief address` shows those this host has"
    )
    assert world.wrong() == [f"{why}. {advice}"]
    world.environ |= {setting: "192.0.2.1", "GATEWAY_ALLOW": "192.0.2.0/24"}
    write(world.units, load(world.environ))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        world.environ |= {"APP_PORT": str(silent.getsockname()[1]), "RUNTIME": "process"}
        assert world.wrong()[1:] == [f"{why}. {advice}"]


def test_a_gateway_that_is_well_is_said_with_whom_it_serves(world: World, api: Answering) -> None:
    def said() -> list[str]:
        return [finding.text for finding in world.found() if finding.text.startswith("the gateway")]

    assert said() == []  # it is turned off, or listens nowhere
    api.body = ready(__version__, listening='["127.0.0.1:6878"]')
    assert said() == ["the gateway listens on 127.0.0.1:6878, for this host"]
    world.environ |= {"GATEWAY_HOST": "127.0.0.1", "GATEWAY_ALLOW": "192.0.2.0/24, 10.0.0.0/8"}
    api.body = ready(__version__, listening='["127.0.0.1:6878", "192.0.2.1:6878"]')
    assert said() == [
        "the gateway listens on 127.0.0.1:6878, 192.0.2.1:6878, for this host and 192.0.2.0/24"
        " and 10.0.0.0/8"
    ]


def test_a_container_is_tried_with_every_address_there_is(world: World) -> None:
    world.environ["ENGINE_HOST"] = "127.0.0.2,192.0.2.1"
    at_both = "--publish=127.0.0.1:*:*/tcp*--publish=127.0.0.2:*:*/tcp"
    fails = f'case "$*" in create*{at_both}*) echo "no second one" >&2; exit 1;; esac\n'
    world.tool("podman", fails + HEALTHY["podman"])
    *_, text = (text for text in world.wrong() if "no second one" in text)
    assert "Debian 13's publishes no port at several addresses" in text


def test_a_state_directory_that_cannot_be_written(world: World) -> None:
    shutil.rmtree(world.state_dir)
    (text,) = world.wrong()
    assert text.startswith(f"STATE_DIR {world.state_dir} is not writable: No such file ")


class Disk(NamedTuple):
    f_blocks: int = 100 << 20
    f_bavail: int = 1 << 20
    f_files: int = 1000
    f_favail: int = 50
    f_frsize: int = 1024


@pytest.mark.parametrize(
    ("state", "runtime", "says"),
    [
        (Disk(), Disk(f_files=0, f_favail=0), ""),
        (Disk(), Disk(f_blocks=1 << 20, f_bavail=100 << 10), ""),
        (Disk(f_bavail=(1 << 20) - 1), Disk(), "1023 MiB left. Make room on that file system"),
        (Disk(f_blocks=1 << 20, f_bavail=51 << 10), Disk(), "51 MiB left. Make room on that file"),
        (Disk(f_favail=49), Disk(), "49 inodes left. Remove files there"),
    ],
)
def test_a_disk_that_is_nearly_full(
    world: World, monkeypatch: pytest.MonkeyPatch, state: Disk, runtime: Disk, says: str
) -> None:
    disks = {world.state_dir: state, world.runtime_dir: runtime}
    monkeypatch.setattr("os.statvfs", lambda path: disks.get(path, Disk()))
    found = world.wrong()
    assert len(found) == bool(says)
    assert all(text.startswith(f"{world.state_dir} has only {says}") for text in found)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (ready("0.0.1"), "the API answers as version 0.0.1"),
        (ready("{v}", degraded='["store: no"]', is_ready="false"), "store: no"),
        (ready("{v}", is_ready="false"), "the service is not ready; its circuit breaker is open"),
    ],
)
def test_a_service_that_is_another_or_not_well(
    world: World, api: Answering, body: bytes, says: str
) -> None:
    version = api.body.split(b'"')[3]
    api.body = body.replace(b"{v}", version)
    (text,) = world.wrong()
    assert text.startswith(says)


def test_engines_that_died_are_told_by_cause_and_are_no_fault_of_now(
    world: World, api: Answering
) -> None:
    assert "no engine died in the last hour" in [finding.text for finding in world.found()]
    causes = ["signal", "oom_killed", "signal"]
    api.log = json.dumps([{"data": {"cause": cause}} for cause in causes]).encode()
    (told,) = (finding for finding in world.found() if "died in the last" in finding.text)
    assert told.text == "3 engines died in the last hour: signal (2), oom_killed (1)"
    assert told.is_well
    assert "acekeeper log --kind engine_died" in told.advice
    since = parse_qs(urlsplit(api.asked_of_log.decode()).query)["since"][0]
    past = datetime.now(UTC) - datetime.fromisoformat(since)
    assert timedelta(hours=1) <= past < timedelta(hours=1, minutes=5)


def test_a_service_that_does_not_answer(world: World) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        world.environ["APP_PORT"] = str(silent.getsockname()[1])
        assert any(text.startswith("no acekeeper answers on ") for text in world.wrong())


def test_an_engine_that_somebody_runs_on_the_gateways_port(world: World, api: Answering) -> None:
    """Said by the service, or where there is none, found by trying."""
    why = "gateway: another program listens on 127.0.0.1:6878; `ss -ltnp sport = :6878` names it"
    api.body = ready(__version__, degraded=f'["{why}"]')
    advice = "Free the port and restart acekeeper, or change GATEWAY_HOST or GATEWAY_PORT"
    assert world.wrong() == [f"{why}. {advice}"]
    world.environ["RUNTIME"] = "process"
    with socket.socket() as silent, socket.create_server(("127.0.0.1", 0)) as engine:
        silent.bind(("127.0.0.1", 0))
        port = str(engine.getsockname()[1])
        world.environ |= {"APP_PORT": str(silent.getsockname()[1]), "GATEWAY_PORT": port}
        assert world.wrong()[1:] == [f"{why.replace('6878', port)}. {advice}"]
    assert not any("gateway" in text for text in world.wrong())


def test_settings_that_cannot_be_read_are_all_there_is_to_say(world: World) -> None:
    world.environ["MIN_REPLICAS"] = "many"
    (text,) = world.wrong()
    assert text.startswith("MIN_REPLICAS=many is not a whole number. Set it to ")
    assert len(world.found()) == 1


def test_where_engines_are_processes(world: World) -> None:
    world.environ |= {"RUNTIME": "process", "ENGINE_COMMAND": "absent-engine {http_port}"}
    (text,) = world.wrong()
    assert text.startswith("ENGINE_COMMAND: the program 'absent-engine' is missing ")
    del world.environ["ENGINE_COMMAND"]
    assert world.wrong() == []
    assert not any("Podman" in finding.text for finding in world.found())


def test_the_command_ends_with_1_if_anything_is_wrong(world: World) -> None:
    def doctor() -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("acekeeper")), "doctor"]
        environ = os.environ | world.environ | {"RUNTIME": "process"}
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    well = doctor()
    assert well.returncode == 0, well.stdout
    assert {line.split()[0] for line in well.stdout.splitlines()} == {"ok"}
    world.state_dir.rmdir()
    ill = doctor()
    assert ill.returncode == 1
    assert "\nwrong  STATE_DIR " in ill.stdout


def test_where_the_runtime_directory_is_gone_the_rest_is_looked_at(world: World) -> None:
    shutil.rmtree(world.runtime_dir)
    found = world.found()
    assert any("podman.sock" in finding.text for finding in found if not finding.is_well)
    assert any("answers" in finding.text for finding in found if finding.is_well)
