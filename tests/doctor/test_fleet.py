"""What is wrong with the fleet on a host, and what the doctor says to it."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from acekeeper.adapters.certificates import days_left
from acekeeper.doctor import fleet
from acekeeper.drop_ins import write
from acekeeper.settings import load

from ..ports import free_port
from .conftest import World

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
OF_FLEET = ("FLEET_", "the fleet", "certificate of")


def certify(directory: Path, name: str, days: int) -> None:
    files = ("-keyout", f"{directory}/{name}.key", "-out", f"{directory}/{name}.crt")
    command = ["openssl", "req", "-x509", *KEY, "-subj", f"/CN={name}", "-days", str(days), *files]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def server() -> Iterator[int]:
    """The port of one that takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "certificates"
    directory.mkdir()
    certify(directory, "ca", 3000)
    certify(directory, "host", 100)
    return directory


@pytest.fixture
def world(world: World, directory: Path, server: int) -> World:
    """In a fleet that is well."""
    world.environ |= {
        "FLEET_NAME": "home",
        "FLEET_HOST": "media-1",
        "FLEET_SERVERS": f"127.0.0.1:{server}",
        "FLEET_CERTIFICATES": str(directory),
    }
    write(world.units, load(world.environ))
    return world


def test_where_all_is_well_it_says_so(world: World, server: int) -> None:
    assert world.wrong() == []
    said = [f.text for f in world.found() if any(word in f.text for word in OF_FLEET)]
    assert said == [
        "the certificate of the fleet's authority is valid for 3000 days",
        "the certificate of this host is valid for 100 days",
        "this host has FLEET_ADDRESS=127.0.0.1, to which the fleet sends players",
        f"the fleet's servers can be reached: 127.0.0.1:{server}",
    ]


def test_without_a_fleet_nothing_is_said_of_one(world: World) -> None:
    world.environ = {n: v for n, v in world.environ.items() if not n.startswith("FLEET_")}
    assert not any(word in f.text for f in world.found() for word in OF_FLEET)


def test_a_fleet_on_loopback_needs_no_certificate(world: World) -> None:
    del world.environ["FLEET_CERTIFICATES"]
    assert world.wrong() == []
    assert not any("certificate" in finding.text for finding in world.found())


@pytest.mark.parametrize("name", ["ca.crt", "host.crt", "host.key"])
def test_a_file_that_is_not_there_is_named(world: World, directory: Path, name: str) -> None:
    (directory / name).unlink()
    assert world.wrong() == [
        f"{directory}/{name} cannot be read: No such file or directory."
        " Deploy again, to all hosts of the fleet"
    ]


def test_what_is_no_certificate_is_named(world: World, directory: Path) -> None:
    (directory / "host.crt").write_text("nothing")
    (wrong,) = world.wrong()
    assert wrong.startswith(f"{directory}/host.crt holds no valid certificate ")


@pytest.mark.parametrize(
    ("later", "says"),
    [
        (69, None),
        (71, "the certificate of this host ends in 29 days"),
        (
            103,
            "the certificate of this host ended 3 days ago: the fleet's servers refuse this host",
        ),
    ],
)
def test_one_that_ends_soon_is_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch, later: int, says: str | None
) -> None:
    monkeypatch.setattr(fleet, "days_left", lambda path: days_left(path) - later)
    expected = [] if says is None else [f"{says}. Deploy again, which renews it"]
    assert world.wrong() == expected


def test_an_address_that_this_host_does_not_have_is_wrong(world: World) -> None:
    world.environ |= {
        "FLEET_ADDRESS": "192.0.2.77",
        "ENGINE_HOST": "0.0.0.0",
        "GATEWAY_HOST": "0.0.0.0",
        "GATEWAY_ALLOW": "192.0.2.0/24",
    }
    write(world.units, load(world.environ))
    wrong = [text for text in world.wrong() if text.startswith("FLEET_ADDRESS")]
    assert len(wrong) == 1
    assert wrong[0].startswith("FLEET_ADDRESS=192.0.2.77 is not an address of this host")


def test_one_server_is_enough_and_none_is_wrong(world: World, server: int) -> None:
    gone = f"127.0.0.1:{free_port()}"
    world.environ["FLEET_SERVERS"] = f"127.0.0.1:{server},{gone}"
    assert world.wrong() == []
    reached = f"only 127.0.0.1:{server} can be reached, not {gone} (Connection refused)"
    [note] = [f for f in world.found() if "can be reached" in f.text]
    assert (note.text, bool(note.advice)) == (f"of the fleet's servers {reached}", True)
    world.environ["FLEET_SERVERS"] = gone
    (wrong,) = world.wrong()
    assert wrong.startswith(
        f"no server of the fleet can be reached: {gone} (Connection refused). Look whether"
    )
