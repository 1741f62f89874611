"""Who is in a fleet, what is kept of it beside the inventory, and what its hosts are told."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from .role import needs_ansible
from .test_ansible import BIN, GENERAL, ROOT, run, said_of

NATS = Path(sys.executable).with_name("nats-server")
KEEPS = ROOT / "ansible/roles/fleet/files/fleet.py"
# Days that a certificate lasts.
FOR_DAYS = """
import sys
sys.path.insert(0, "{files}")
import fleet
fleet.CERTIFICATE_LASTS = fleet.timedelta(days={days})
sys.exit(fleet.main())
"""
SHOW = """
import json, sys
from pathlib import Path
from cryptography import x509
kept = Path(sys.argv[1])
read = lambda path: x509.load_pem_x509_certificate(path.read_bytes())
ca = read(kept / "ca.crt")
said = {}
for path in sorted(kept.glob("hosts/*.crt")):
    crt = read(path)
    crt.verify_directly_issued_by(ca)
    of = lambda kind: crt.extensions.get_extension_for_class(kind).value
    names = of(x509.SubjectAlternativeName)
    said[path.stem] = {
        "names": [str(name.value) for name in names],
        "usages": sorted(usage._name for usage in of(x509.ExtendedKeyUsage)),
        "days": (crt.not_valid_after_utc - crt.not_valid_before_utc).days,
        "serial": str(crt.serial_number),
    }
print(json.dumps(said))
"""

pytestmark = [needs_ansible, pytest.mark.timeout(300)]


class Fleet:
    def __init__(self, home: Path) -> None:
        self.directory = home / "fleet-home"
        self.hosts: dict[str, str | None] = {f"media-{n}": f"192.0.2.{n}" for n in range(1, 5)}
        self.given: dict[str, Any] = {}

    def keep(self, *options: str, days: int = 0) -> dict[str, Any]:
        kept = self.try_to(*options, days=days)
        assert kept.returncode == 0, kept.stderr
        told: dict[str, Any] = json.loads(kept.stdout)
        return told

    def refused(self) -> str:
        before = self.files()
        kept = self.try_to()
        assert kept.returncode == 1, kept.stdout
        assert self.files() == before
        return kept.stderr

    def try_to(self, *options: str, days: int = 0) -> subprocess.CompletedProcess[str]:
        members = [
            {"name": name, "address": address, "knows": None, "is_deployed": True}
            | self.given.get(name, {})
            for name, address in self.hosts.items()
        ]
        asked = {
            "fleet": self.given.get("fleet", "home"),
            "directory": str(self.directory),
            "has_servers": self.given.get("has_servers", False),
            "members": members,
        }
        shortened = ["-c", FOR_DAYS.format(files=KEEPS.parent, days=days)]
        return subprocess.run(
            [BIN / "python", *(shortened if days else [str(KEEPS)]), *options],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
        )

    def files(self) -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in self.directory.rglob("*") if p.is_file()}

    def certificates(self) -> dict[str, dict[str, Any]]:
        shown = run(self.directory, "python", "-c", SHOW, str(self.directory))
        assert shown.returncode == 0, shown.stderr
        said: dict[str, dict[str, Any]] = json.loads(shown.stdout)
        return said


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_the_first_three_hosts_have_servers_and_a_join_moves_none(fleet: Fleet) -> None:
    fleet.hosts = {"media-8": "192.0.2.8", "media-9": "192.0.2.9"}
    assert fleet.keep()["servers"] == ["media-8", "media-9"]
    fleet.hosts = {f"media-{n}": f"192.0.2.{n}" for n in (1, 2, 8, 9)}
    assert fleet.keep()["servers"] == ["media-8", "media-9", "media-1"]
    del fleet.hosts["media-8"]
    assert fleet.keep()["servers"] == ["media-9", "media-1", "media-2"]
    fleet.given["has_servers"] = True
    assert fleet.keep()["servers"] == []


def test_a_certificate_is_for_both_sides_and_names_the_host_and_its_address(fleet: Fleet) -> None:
    fleet.keep()
    found = fleet.certificates()
    assert [found[f"media-{n}"]["names"] for n in (1, 4)] == [
        ["media-1", "192.0.2.1"],
        ["media-4", "192.0.2.4"],
    ]
    assert {tuple(c["usages"]) for c in found.values()} == {("clientAuth", "serverAuth")}


def test_only_a_certificate_that_ends_or_whose_address_changes_is_renewed(fleet: Fleet) -> None:
    first = fleet.keep(days=59)
    old = fleet.certificates()
    second = fleet.keep()
    new = fleet.certificates()
    assert {old[host]["serial"] != new[host]["serial"] for host in old} == {True}
    # By its key a server is known to the others.
    assert second["pins"] == first["pins"]
    assert fleet.keep()["changed"] == []
    fleet.hosts["media-2"] = "192.0.2.22"
    assert "a certificate of media-2 is made" in fleet.keep()["changed"]
    moved = fleet.certificates()
    assert moved["media-2"]["names"] == ["media-2", "192.0.2.22"]
    assert moved["media-1"] == new["media-1"]


def test_keys_are_for_their_owner_alone_and_stay_where_they_are_made(fleet: Fleet) -> None:
    shown = json.dumps(fleet.keep())
    keys = [*fleet.directory.glob("*.key"), *fleet.directory.glob("hosts/*.key")]
    assert len(keys) == 5
    for key in keys:
        assert key.stat().st_mode & 0o777 == 0o600
        assert key.read_text().splitlines()[1] not in shown
    assert (fleet.directory / ".gitignore").read_text() == "*.key\n"


def test_what_a_host_that_left_had_is_removed(fleet: Fleet) -> None:
    fleet.keep()
    del fleet.hosts["media-4"]
    fleet.keep()
    assert not list(fleet.directory.glob("hosts/media-4*"))


def test_a_check_makes_nothing_and_says_what_would_be_made(fleet: Fleet) -> None:
    assert "a certificate of media-4 is made" in fleet.keep("--check")["changed"]
    assert not fleet.directory.exists()


def test_a_host_that_is_not_reached_keeps_its_place(fleet: Fleet) -> None:
    before = fleet.keep()
    fleet.hosts["media-2"] = None
    assert fleet.keep() == before | {"changed": []}


def joins_unreached(fleet: Fleet) -> None:
    fleet.hosts["media-5"] = None


def joins_unseen_by_a_server(fleet: Fleet) -> None:
    fleet.hosts["media-5"] = "192.0.2.5"
    fleet.given["media-1"] = {"is_deployed": False}


def has_another_name_for_the_same(fleet: Fleet) -> None:
    fleet.hosts["Media_1"] = "192.0.2.5"


def has_the_address_of_another(fleet: Fleet) -> None:
    fleet.hosts["media-4"] = "192.0.2.1"


def is_named_without_a_letter(fleet: Fleet) -> None:
    fleet.hosts["__"] = "192.0.2.5"


def has_no_address(fleet: Fleet) -> None:
    fleet.hosts["media-4"] = "fd00::1"


def goes_by_another_authority(fleet: Fleet) -> None:
    fleet.given["media-3"] = {"knows": "0" * 64}


def has_no_key(fleet: Fleet) -> None:
    (fleet.directory / "ca.key").unlink()


def is_misnamed(fleet: Fleet) -> None:
    fleet.given["fleet"] = "At home"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (joins_unreached, "media-5 was never reached"),
        (joins_unseen_by_a_server, "media-1 is not deployed; deploy without --limit"),
        (has_another_name_for_the_same, "media-1 and Media_1 would both be media-1"),
        (has_the_address_of_another, "media-1 and media-4 have both the address 192.0.2.1"),
        (is_named_without_a_letter, "no name can be made of the host __"),
        (has_no_address, "fd00::1, which is no IPv4 address"),
        (goes_by_another_authority, "media-3 goes by an authority that is not in"),
        (has_no_key, "one is missing"),
        (is_misnamed, "acekeeper_fleet is At home"),
    ],
)
def test_what_cannot_be_a_fleet_is_refused_and_changes_nothing(
    wrong: Any, said: str, fleet: Fleet
) -> None:
    fleet.keep()
    wrong(fleet)
    assert said in fleet.refused()


def test_a_host_is_called_by_its_name_as_a_label(fleet: Fleet) -> None:
    fleet.hosts = {"Media_1.example.org.": "192.0.2.1"}
    assert [host["host"] for host in fleet.keep()["hosts"]] == ["media-1-example-org"]


def plan(fleet: Fleet, etc: Path | None = None) -> dict[str, Any]:
    kept = fleet.keep()
    return {
        "ansible_managed": "x",
        "__fleet_etc": str(etc),
        "fleet_plan": {
            "name": "home",
            "host": "media-1",
            "address": "192.0.2.1",
            "directory": str(fleet.directory),
            "hosts": kept["hosts"],
            "servers": ["192.0.2.1:4222", "192.0.2.2:4222"],
            "routes": ["192.0.2.1", "192.0.2.2"],
            "pins": kept["pins"],
        },
    }


def rendered(name: str, home: Path, given: Mapping[str, Any]) -> str:
    path = f"ansible/roles/fleet/templates/{name}.j2"
    known = ["-e", "@ansible/roles/fleet/vars/main.yml", "-e", json.dumps(given)]
    template = ["-m", "template", "-a", f"src={path} dest={home / name}"]
    made = run(home, "ansible", "localhost", *template, *known)
    assert made.returncode == 0, made.stdout
    return (home / name).read_text()


def test_the_server_takes_what_it_is_told(tmp_path: Path, fleet: Fleet) -> None:
    etc = tmp_path / "etc"
    given = plan(fleet, etc)
    etc.mkdir()
    for name in ("hosts/media-1.key", "hosts/media-1.crt", "ca.crt"):
        to = Path(name).name.replace("media-1", "host")
        (etc / to).write_bytes((fleet.directory / name).read_bytes())
    text = rendered("nats.conf", tmp_path, given)
    tried = [str(NATS), "-t", "-c", str(tmp_path / "nats.conf")]
    assert subprocess.run(tried, capture_output=True, check=False).returncode == 0
    assert text.count("verify_and_map: true") == 1
    options = {*re.findall(r"^ *(\w+) *[:{]", text, re.MULTILINE)}
    assert not options & {"http", "https", "jetstream", "leafnodes", "no_auth_user", "websocket"}
    # Whoever takes part says what is his own.
    assert re.findall(r'user: "(.*)"', text) == [f"media-{n}" for n in range(1, 5)]
    subjects = re.findall(r'^ +"(\S+)"$', text.partition('user: "media-2"')[2], re.MULTILINE)[:9]
    assert [subject.removeprefix("acekeeper.v1.home.") for subject in subjects] == [
        *("beat.media-2", "state.media-2", "snap.*.media-2", "ask.*.*.media-2"),
        *("beat.*", "state.*", "snap.media-2.*", "ask.media-2.>", "_INBOX.media-2.>"),
    ]


def test_a_route_is_taken_from_servers_alone(tmp_path: Path, fleet: Fleet) -> None:
    given = plan(fleet, tmp_path)
    pins = given["fleet_plan"]["pins"]
    assert len({*pins}) == 3
    text = rendered("nats.conf", tmp_path, given)
    assert json.dumps(pins) in text.partition("cluster {")[2]
    unit = rendered("acekeeper-fleet.service", tmp_path, given)
    assert "--routes 'nats://192.0.2.2:6222'" in unit
    table = rendered("firewall.nft", tmp_path, given)
    assert "tcp dport 6222 ip saddr { 192.0.2.1, 192.0.2.2 } accept" in table
    everybody = ", ".join(f"192.0.2.{n}" for n in range(1, 5))
    assert f"tcp dport 4222 ip saddr {{ {everybody} }} accept" in table


def test_the_settings_of_the_fleet_come_beside_the_hosts_own(tmp_path: Path, fleet: Fleet) -> None:
    known = plan(fleet) | GENERAL
    own = {"GATEWAY_ALLOW": "10.0.0.0/8, 192.0.2.1/32", "GATEWAY_HOST": "0.0.0.0"}
    settings: Any = said_of("__acekeeper_given", tmp_path, known | {"acekeeper_settings": own})
    assert settings == {
        "ENGINE_HOST": "192.0.2.1",
        "FLEET_ADDRESS": "192.0.2.1",
        "FLEET_CERTIFICATES": "/etc/acekeeper/fleet",
        "FLEET_HOST": "media-1",
        "FLEET_NAME": "home",
        "FLEET_SERVERS": "192.0.2.1:4222,192.0.2.2:4222",
        "GATEWAY_ALLOW": "10.0.0.0/8,192.0.2.1/32,192.0.2.2/32,192.0.2.3/32,192.0.2.4/32",
        "GATEWAY_HOST": "0.0.0.0",
    }
    own = {"ENGINE_HOST": "127.0.0.1,10.0.0.1"}
    settings = said_of("__acekeeper_given", tmp_path, known | {"acekeeper_settings": own})
    assert settings["ENGINE_HOST"] == "127.0.0.1,10.0.0.1,192.0.2.1"
    assert said_of("__acekeeper_given", tmp_path, GENERAL) == {}


def test_no_key_of_a_fleet_is_shown_when_it_is_brought() -> None:
    for path in ("fleet/tasks/server.yml", "acekeeper/tasks/fleet.yml"):
        tasks = (ROOT / "ansible/roles" / path).read_text("utf-8").split("- name: ")
        [brings] = [task for task in tasks if 'src: "{{ item.from }}"' in task]
        assert "diff: false" in brings
