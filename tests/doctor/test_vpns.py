"""What is wrong with VPNs on a host, and what the doctor says to it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from acekeeper.doctor import vpns
from acekeeper.drop_ins import write
from acekeeper.settings import load

from .conftest import HEALTHY, Answering, World

NAMED = "podman run --secret acekeeper-vpn-auth,type=mount --secret vpn-de-key,target=key"


@pytest.fixture
def control() -> Iterator[Answering]:
    with Answering(socket.AF_INET, ("127.0.0.1", 0), b'{"public_ip": "203.0.113.9"}') as control:
        yield control


@pytest.fixture
def world(
    world: World, control: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    """With a VPN that is well."""
    (tmp_path / "modules").write_text("nft_compat 16384 0 - Live 0x0\nxt_owner 16384 0\n")
    (tmp_path / "built-in").write_text("kernel/net/netfilter/xt_mark.ko\nnet/xt_conntrack.ko\n")
    monkeypatch.setattr(vpns, "_LOADED", tmp_path / "modules")
    monkeypatch.setattr(vpns, "_BUILT_IN", tmp_path / "built-in")
    world.tool(
        "systemctl", HEALTHY["systemctl"].replace("*Version*", f"*cat*) echo '{NAMED}';; *Version*")
    )
    world.environ |= {"VPNS": "de", "VPN_SLOTS": "2"}
    world.environ |= {"VPN_CONTROL_BASE": str(control.port), "VPN_API_KEY": "k"}
    write(world.units, load(world.environ))
    return world


def test_where_all_is_well_it_says_as_whom_each_goes_out(world: World) -> None:
    assert world.wrong() == []
    said = [finding.text for finding in world.found()]
    assert "the kernel has what the firewalls of VPNs need" in said
    assert "vpn@de.service is active" in said
    assert "the VPN de says that it has a tunnel, and goes out as 203.0.113.9" in said
    assert not any("engines get out by" in text for text in said)


def test_without_vpns_nothing_of_them_is_said(world: World) -> None:
    for name in ("VPNS", "VPN_SLOTS", "VPN_CONTROL_BASE", "VPN_API_KEY"):
        del world.environ[name]
    assert not any("VPN" in finding.text for finding in world.found())


def test_modules_that_are_neither_loaded_nor_built_in_are_named(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "built-in").write_text("kernel/net/netfilter/xt_mark.ko\n")
    (tmp_path / "modules").write_text("xt_conntrack 1 0\n")
    (wrong,) = world.wrong()
    assert "has not loaded nft_compat, xt_owner, " in wrong
    assert "`modprobe --all nft_compat xt_owner`" in wrong


def test_where_nobody_can_tell_of_modules_nothing_is_said(world: World, tmp_path: Path) -> None:
    (tmp_path / "built-in").unlink()
    assert world.wrong() == []


def test_a_unit_that_does_not_run_can_be_started(world: World) -> None:
    world.tool(
        "systemctl",
        HEALTHY["systemctl"].replace(
            "*LoadState*)",
            "*LoadState*vpn@de*) printf 'LoadState=loaded\\nActiveState=failed\\n';; *LoadState*)",
        ),
    )
    (wrong,) = (f for f in world.found() if not f.is_well)
    assert wrong.text == "vpn@de.service is failed"
    assert wrong.fix == (("systemctl", "--user", "start", "vpn@de.service"),)


def test_a_secret_that_podman_does_not_have_is_named(world: World) -> None:
    healthy = HEALTHY["podman"]
    world.tool("podman", f'[ "$*" != "secret exists vpn-de-key" ] || exit 1\n{healthy}')
    assert world.wrong() == ["the VPN de lacks its secret vpn-de-key. Deploy again"]


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        ("401 Unauthorized", b"", "the VPN de does not take VPN_API_KEY. Deploy again"),
        ("500 Internal Server Error", b"", "the VPN de answers 500 on 127.0.0.1:"),
        ("200 OK", b'{"public_ip": ""}', "the VPN de has no tunnel. `journalctl "),
        ("200 OK", b"<html>", "what answers on 127.0.0.1:"),
        ("200 OK", b"[]", "what answers on 127.0.0.1:"),
    ],
)
def test_what_its_control_server_says_is_understood(
    world: World, control: Answering, status: str, body: bytes, says: str
) -> None:
    control.status, control.body = status, body
    (wrong,) = world.wrong()
    assert wrong.startswith(says)


def test_it_is_asked_with_the_key(world: World, control: Answering) -> None:
    world.found()
    assert b"X-API-Key: k\r\n" in control.asked


def test_one_that_does_not_answer_is_said(world: World, control: Answering) -> None:
    control.__exit__()
    (wrong,) = world.wrong()
    assert f"the VPN de does not answer on 127.0.0.1:{control.port} (" in wrong
    assert "`journalctl _SYSTEMD_USER_UNIT=vpn@de.service`" in wrong
