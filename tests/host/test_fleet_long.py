"""A fleet over the years: hosts join and leave, certificates and acekeepers are renewed, servers
are restarted, and for a minute nothing connects the hosts. Nobody who plays notices."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from . import deploying
from .fleet import certificates
from .fleet.deployed import LIVE, LOST, Fleet, Member, deployed
from .fleet.players import Players, playing
from .lab import Lab
from .test_fleet import SETTINGS
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.long, pytest.mark.timeout(3600)]

HOSTS = (163, 164, 165)
FOURTH = 166
MINUTE_S = 60.0
PLAYS = 10  # after each step
VERSION = "99.0.0"

Tell = Callable[[str], None]


@pytest.fixture(scope="module")
def made(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with deployed(lab, HOSTS, tmp_path_factory.mktemp("fleet"), SETTINGS) as fleet:
        yield fleet


@pytest.fixture
def fleet(made: Fleet) -> Fleet:
    """Nothing is wrong, and nobody plays."""
    until(made.is_idle)
    return made


@pytest.fixture
def players(fleet: Fleet) -> Iterator[Players]:
    with playing(fleet) as players:
        yield players


def test_without_any_server_for_a_minute_each_host_plays_its_own(
    fleet: Fleet, players: Players, tell: Tell
) -> None:
    with players.uncut() as silence:
        began = time.monotonic()
        for member in fleet.members:
            member.server("stop")
        until(lambda: not any(member.link()["up"] for member in fleet.members))
        assert all(players.plays(member).owner == member for member in fleet.members)
        until(lambda: time.monotonic() - began > MINUTE_S)
        until(lambda: all({*standings(fleet, m)} == {LOST} for m in fleet.members))
        assert all(players.plays(member).owner == member for member in fleet.members)
        for member in fleet.members:
            member.server("start")
        true = until(fleet.is_true)
    tell(
        f"fleet: a minute without servers is over {true:.1f} s after they are back;"
        f" no stream was silent for more than {silence[0]:.1f} s"
    )


def standings(fleet: Fleet, member: Member) -> list[str]:
    """Of the others, as it sees them."""
    return [member.standing(other) for other in fleet.others(member)]


def test_hosts_join_and_leave_by_the_inventory(
    fleet: Fleet, players: Players, lab: Lab, tell: Tell
) -> None:
    """The one that leaves first has a server, in whose place that of the new one comes."""
    *stay, leaves = fleet.members
    joins = Member(lab.up(FOURTH))
    four, others = (replace(fleet, members=[*members, joins]) for members in (fleet.members, stay))
    try:
        with players.uncut() as silence:
            have(four)
            assert joins.server_pid() == 0
            have(others)
            assert joins.server_pid()
            # Its own server still takes it, and nobody else.
            until(lambda: {*standings(fleet, leaves)} == {LOST})
            players.fill(leaves)
            content = players.comes(leaves, "redirected")
            until(lambda: leaves.status()["gateway"]["waiting"] == 1)
            players.at(leaves).do("leave", content)
            have(fleet)
    finally:
        fleet.deployer.hosts[:] = [member.host for member in fleet.members]
        lab.down(FOURTH)
    tell(
        "fleet: a host joined, one left and came back;"
        f" no stream was silent for more than {silence[0]:.1f} s"
    )


def have(fleet: Fleet) -> None:
    """These hosts, by the inventory; and nothing is changed when the playbook runs again."""
    deployer = fleet.deployer
    deployer.hosts[:] = [member.host for member in fleet.members]
    deployer.deploy()
    until(fleet.is_true)


def test_an_expired_certificate_costs_nobody_else_and_is_renewed_by_the_playbook(
    fleet: Fleet, players: Players, tell: Tell
) -> None:
    expired, one, other = fleet.members
    with players.uncut() as silence:
        certificates.ends_in(fleet, expired, -1)
        was = certificates.of(expired)
        certificates.connect_again(expired)
        until(lambda: one.standing(expired) == other.standing(expired) == LOST)
        assert not expired.link()["up"]
        assert "expired" in expired.link()["why"]
        assert players.plays(expired).owner == expired
        until(lambda: one.standing(other) == other.standing(one) == LIVE)
        players.fill(one)
        assert players.plays(one).owner == other
        fleet.deployer.deploy("--tags", "fleet")
        true = until(fleet.is_true)
        assert certificates.of(expired) != was
    tell(
        f"fleet: a host whose certificate had expired is back {true:.1f} s after the playbook;"
        f" no stream was silent for more than {silence[0]:.1f} s"
    )


@pytest.fixture
def crowd(fleet: Fleet, players: Players) -> Iterator[Callable[[], None]]:
    """Players come and go at every host, and each one plays. Called, it waits for more of them."""
    for member in fleet.members:
        players.at(member).do("crowd", 1)

    def plays() -> None:
        for member in fleet.members:
            players.at(member).do("crowd_plays", PLAYS)

    plays()
    yield plays
    for member in fleet.members:
        assert players.at(member).do("disperse")["failed"] == []


def test_nobody_notices_that_certificates_are_renewed(
    fleet: Fleet, players: Players, crowd: Callable[[], None]
) -> None:
    with players.uncut():
        for member in fleet.members:
            certificates.ends_in(fleet, member, 20)
        were = [*map(certificates.of, fleet.members)]
        fleet.deployer.deploy()
        assert not {*were} & {*map(certificates.of, fleet.members)}
        crowd()
        for member in fleet.members:
            certificates.connect_again(member)
            crowd()
        until(fleet.is_live)


def test_nobody_notices_that_servers_are_restarted_one_after_another(
    fleet: Fleet, players: Players, crowd: Callable[[], None], tell: Tell
) -> None:
    with players.uncut() as silence:
        for member in fleet.members:
            member.server("restart")
            until(fleet.is_live)
            crowd()
    tell(
        "fleet: servers were restarted; no stream was silent for more than"
        f" {silence[0]:.1f} s, and no play failed"
    )


def test_an_older_and_a_newer_acekeeper_are_one_fleet(
    fleet: Fleet, players: Players, crowd: Callable[[], None], tmp_path: Path
) -> None:
    *olds, new = fleet.members
    deployer = fleet.deployer
    was = deployer.variables

    def renew(directory: Path) -> None:
        module = directory / "src/acekeeper/__init__.py"
        module.write_text(f'"""Newer."""\n\n__version__ = "{VERSION}"\n')

    with players.uncut():
        made = str(deploying.release(tmp_path, renew))
        deployer.variables = {**was, "acekeeper_release_dir": made}
        try:
            deployer.deploy("--limit", new.name)
            until(fleet.is_live)
            versions = {host: view["version"] for host, view in olds[0].sees().items()}
            assert versions.pop(new.name) == VERSION
            assert VERSION not in versions.values()
            crowd()
            deployer.deploy()
            until(fleet.is_live)
            crowd()
        finally:
            deployer.variables = was
    deployer.deploy()
