import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab import CommandError, Host, Lab, UnavailableError, heal, machine

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> Iterator[tuple[Host, Host]]:
    yield lab.up(101), lab.up(102)
    lab.down(101)
    lab.down(102)


def test_a_host_has_ssh_and_python_and_nothing_else(hosts: tuple[Host, Host]) -> None:
    host, _ = hosts
    assert host.ssh("python3 -c 'print(1)'").stdout == "1\n"
    assert host.ssh("cat /proc/1/comm").stdout == "systemd\n"
    assert host.ssh("command -v podman sudo pip gcc curl", check=False).stdout == ""
    listening = host.ssh("ss -Hltn | awk '{print $4}' | sort").stdout.split()
    assert listening == ["0.0.0.0:22", "[::]:22"]


def test_a_failed_command_says_what_it_printed(hosts: tuple[Host, Host]) -> None:
    host, _ = hosts
    with pytest.raises(CommandError, match=r"status 3\nout\nerr"):
        host.ssh("echo out; echo err >&2; exit 3")
    assert host.ssh("exit 3", check=False).returncode == 3


def test_files_are_copied_as_they_are(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    host, _ = hosts
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_text("content")
    host.copy(tmp_path / "tree", "/root")
    assert host.ssh("cat /root/tree/file").stdout == "content"


def test_hosts_reach_each_other_and_the_mirror(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    connect = "import socket; print(socket.create_connection(('{}', 22), 5).recv(4))"
    assert "SSH-" in one.ssh(f'python3 -c "{connect.format(other.address)}"').stdout
    assert "SSH-" in other.ssh(f'python3 -c "{connect.format(one.address)}"').stdout
    one.ssh("apt-get -qq update", timeout_s=120)


def test_two_hosts_are_separated_and_joined_again(lab: Lab, hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    connect = "timeout 1 bash -c '</dev/tcp/{}/22'"

    def reached() -> list[bool]:
        pairs = ((one, other), (other, one))
        ran = [a.ssh(connect.format(b.address), check=False) for a, b in pairs]
        return [result.returncode == 0 for result in ran]

    lab.network.separate((one.address, other.address))
    assert reached() == [False, False]
    lab.network.separate()
    assert reached() == [True, True]


def test_a_host_without_power_says_nothing_and_has_its_disk_after(
    hosts: tuple[Host, Host],
) -> None:
    _, host = hosts
    host.ssh("touch /root/kept")
    with socket.create_connection((host.address, 22), 60) as connection:
        assert connection.recv(4) == b"SSH-"
        connection.recv(100)
        host.unplug()
        assert not host.is_up()
        connection.settimeout(1)
        with pytest.raises(TimeoutError):  # an end would be told by whoever closes it
            connection.recv(1)
    host.plug_in()
    assert host.ssh("ls /root/kept").stdout == "/root/kept\n"


def test_a_guest_cannot_move_the_clock(hosts: tuple[Host, Host]) -> None:
    # The clock is the whole machine's, so this looks at the capability instead of trying it.
    host, _ = hosts
    bounding = host.ssh("awk '/^CapBnd:/ {print $2}' /proc/1/status").stdout
    cap_sys_time = 1 << 25
    assert int(bounding, 16) & cap_sys_time == 0


def test_a_reboot_is_a_new_boot_of_the_same_host(hosts: tuple[Host, Host]) -> None:
    _, host = hosts
    machine_id = host.ssh("cat /etc/machine-id; touch /root/kept").stdout
    before = host.boot_id()
    host.reboot()
    assert host.boot_id() != before
    assert host.ssh("cat /etc/machine-id; ls /root/kept").stdout == f"{machine_id}/root/kept\n"


def test_nothing_is_left_of_a_host_that_is_down(lab: Lab) -> None:
    host = lab.up(103)
    assert host.is_up()
    assert host.name in _traces(host.name)
    lab.down(103)
    assert not host.is_up()
    assert host.name not in _traces(host.name)


def test_what_a_killed_run_left_goes_with_the_next(lab: Lab) -> None:
    killed = """
import os
from tests.host.lab import Lab
lab = Lab.take()
host = lab.up(1)
beyond = lab.network.beyond("world")
beyond.up()
beyond.run("sh", "-c", "sleep 600 >/dev/null 2>&1 &")
print(host.name, beyond.name, flush=True)
os.kill(os.getpid(), 9)
"""
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", killed], cwd=root, capture_output=True, text=True, check=False
    )
    names = run.stdout.split()
    assert len(names) == 2, run.stderr
    assert all(name in _traces(name) for name in names)
    heal()
    assert not any(name in _traces(name) for name in names)


def test_a_machine_that_cannot_have_a_lab_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "DEVICES", (Path("/dev/absent"),))
    with pytest.raises(UnavailableError, match=r"^the lab needs /dev/absent$"):
        machine.check()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnavailableError, match=r"^the lab needs root$"):
        machine.check()


def _traces(name: str) -> str:
    looked_at = (
        ["ip", "-brief", "link"],
        ["ip", "netns"],
        ["findmnt", "--list"],
        ["ps", "-eo", "args"],
    )
    found = ["find", "/sys/fs/cgroup", "/run/systemd/nspawn", "/var/lib", "-path", f"*{name}*"]
    # It fails when a directory goes before it gets there, and those of other tests' hosts do.
    files = subprocess.run(found, stdout=subprocess.PIPE, text=True, check=False).stdout
    return "".join(subprocess.check_output(command, text=True) for command in looked_at) + files
