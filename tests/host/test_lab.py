import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab import CommandError, Host, Lab

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]


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


def test_a_guest_cannot_move_the_clock(hosts: tuple[Host, Host]) -> None:
    host, _ = hosts
    sets_the_time_it_is = "import time; time.clock_settime(0, time.clock_gettime(0))"
    refused = host.ssh(f"python3 -c '{sets_the_time_it_is}'", check=False)
    assert "PermissionError" in refused.stderr


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
    assert host.name in _traces(host)
    lab.down(103)
    assert not host.is_up()
    assert host.name not in _traces(host)


def _traces(host: Host) -> str:
    looked_at = (
        ["ip", "-brief", "link"],
        ["findmnt", "--list"],
        ["ps", "-eo", "args"],
        ["find", "/sys/fs/cgroup", "/run/systemd/nspawn", "/var/tmp", "-path", f"*{host.name}*"],
    )
    return "".join(subprocess.check_output(command, text=True) for command in looked_at)
