"""Three hosts that are one fleet: players play from any, hosts and their network fail, and the view
of each is true again by itself."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from .fleet.clocks import clock_off
from .fleet.deployed import LIVE, LOST, NAME, Fleet, Member, deployed
from .fleet.forging import forged
from .fleet.players import FORMS, JSON, REDIRECTED, Players, playing
from .lab import Lab
from .viewing import LIMIT_S
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.long, pytest.mark.timeout(3600)]

HOSTS = (160, 161, 162)
ENGINES = 3
SETTINGS = {
    "MIN_REPLICAS": ENGINES,
    "MAX_REPLICAS": ENGINES,
    "ENGINE_GRACE_PERIOD_S": 86400,  # so that none goes for being one too many
    "GATEWAY_IDLE_S": 1,
    "GATEWAY_WAIT_S": LIMIT_S,  # so that no play fails because the machine is slow
}
UNHEARD_S = 60.0  # how long a host that is gone may be thought to be there, on a slow machine

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


def sees(member: Member, other: Member) -> bool:
    return member.standing(other) == LIVE


def test_the_playbook_changes_nothing_when_it_runs_again(fleet: Fleet) -> None:
    again = fleet.deployer.deploy()
    assert again.changed == {member.name: 0 for member in fleet.members}, again.changes()


def test_all_of_it_is_seen_from_any_host(fleet: Fleet) -> None:
    for member in fleet.members:
        said = member.host.ssh("acekeeper fleet").stdout
        for other in fleet.members:
            assert other.name in said
            theirs = {engine["id"] for engine in member.get(f"/fleet/{other.name}")["engines"]}
            assert theirs == {engine["container_name"] for engine in other.get("/engines")}


@pytest.mark.parametrize("form", FORMS)
def test_a_player_whose_host_is_full_plays_from_another(
    fleet: Fleet, players: Players, form: str, tell: Tell
) -> None:
    full, *others = fleet.members
    players.fill(full)
    played = players.plays(full, form)
    assert played.owner in others
    told = players.at(full).do("told", played.content)
    origin = f"http://{played.owner.address}:6878/ace/"
    if form == JSON:
        urls = ("playback_url", "stat_url", "command_url")
        assert all(told["session"][name].startswith(origin) for name in urls)
    assert told["asked"][1].startswith(origin)
    stream = played.owner.playing()[played.content]
    assert (stream["via"], stream["player"]) == ("gateway", fleet.lab.address)
    assert played.content not in full.playing()
    players.at(full).do("reads_on", played.content)
    players.at(full).do("leave", played.content)
    until(lambda: played.content not in played.owner.playing())
    tell(f"fleet: {form} from another host after {played.waited:.2f} s")


def test_a_player_plays_where_the_first_engine_gets_free(fleet: Fleet, players: Players) -> None:
    asked, other, third = fleet.members
    players.fill(third)
    here, *_ = players.fill(other)
    players.fill(asked)
    waits = players.comes(asked, REDIRECTED)
    until(lambda: asked.status()["gateway"]["waiting"] == 1)
    players.at(other).do("leave", here.content)
    assert players.played(asked, waits).owner == other


def test_new_players_keep_off_a_host_in_maintenance(fleet: Fleet, players: Players) -> None:
    asked, emptied, third = fleet.members
    with players.uncut():
        players.fill(asked)
        emptied.host.ssh("acekeeper drain --all")
        try:
            until(lambda: bool(asked.sees()[emptied.name]["maintenance"]))
            owners = [players.plays(came).owner for came in (asked, emptied)]
        finally:
            emptied.host.ssh("acekeeper drain --undo")
    assert owners == [third, third]


@pytest.mark.parametrize("form", FORMS)
def test_a_host_that_hangs_is_passed_over(
    fleet: Fleet, players: Players, form: str, tell: Tell
) -> None:
    full, hung, third = fleet.members
    with players.uncut() as silence:
        players.fill(full)
        players.fill(third, ENGINES - 2)  # so that the other is asked first
        free = {hung.name: ENGINES - 1, third.name: ENGINES - 2}
        until(lambda: all(full.sees()[name]["free"] == count for name, count in free.items()))
        with hung.frozen(hung.pid()):
            played = players.plays(full, form)
    assert played.owner == third
    tell(
        f"fleet: {form} past a host that hangs after {played.waited:.2f} s;"
        f" no stream was silent for more than {silence[0]:.1f} s"
    )


def test_a_host_that_is_killed_is_lost_to_nobody_but_its_own_players(
    fleet: Fleet, players: Players, tell: Tell
) -> None:
    full, killed, third = fleet.members
    with players.uncut(killed) as silence:
        players.fill(full)
        players.fill(third, ENGINES - 2)
        began = time.monotonic()
        killed.host.unplug()
        played = players.plays(full)
        assert played.owner == third
        until(lambda: fleet.is_true(killed))
        lost = time.monotonic() - began
        assert {full.standing(killed), third.standing(killed)} == {LOST}
        players.at(full).do("leave", played.content)
        assert players.plays(full).owner == third
    killed.host.plug_in()
    true = until(fleet.is_true)
    assert lost < UNHEARD_S
    tell(
        f"fleet: a killed host is lost after {lost:.1f} s, a player meanwhile waited"
        f" {played.waited:.2f} s; no stream was silent for more than {silence[0]:.1f} s;"
        f" the view is true {true:.1f} s after it is up again"
    )


def test_hosts_that_do_not_reach_each_other_play_what_they_reach(
    fleet: Fleet, players: Players, tell: Tell
) -> None:
    one, other, third = fleet.members
    with players.uncut() as silence:
        with fleet.cut((one, other), (one, third), (other, third)):
            until(lambda: all(m.server_of() == {m.address} for m in fleet.members))
            until(lambda: not any(sees(m, o) for m in fleet.members for o in fleet.others(m)))
            assert all(players.plays(host, JSON).owner == host for host in fleet.members)
        # Each has a server of its own by now, so the third is in the middle.
        with fleet.cut((one, other)):
            until(lambda: all(sees(*pair) for pair in ((one, third), (other, third))))
            until(lambda: all(sees(third, host) for host in (one, other)))
            until(lambda: one.standing(other) == other.standing(one) == LOST)
            players.fill(one)
            assert players.plays(one).owner == third
        true = until(fleet.is_true)
    tell(
        f"fleet: hosts that were cut off from each other have a true view {true:.1f} s after;"
        f" no stream was silent for more than {silence[0]:.1f} s"
    )


def test_a_server_that_hangs_is_left_for_another(
    fleet: Fleet, players: Players, tell: Tell
) -> None:
    """By each host that is connected to it."""
    hangs = next(m for m in fleet.members if any(m.address in o.server_of() for o in fleet.members))
    with players.uncut() as silence, hangs.frozen(hangs.server_pid()):
        began = time.monotonic()
        until(lambda: all(m.server_of() - {hangs.address} for m in fleet.members))
        moved = time.monotonic() - began
        until(fleet.is_true)
        true = time.monotonic() - began
        players.fill(hangs)
        assert players.plays(hangs).owner != hangs
    until(fleet.is_true)
    tell(
        f"fleet: a frozen server is left for another after {moved:.1f} s, the view is true after"
        f" {true:.1f} s; no stream was silent for more than {silence[0]:.1f} s"
    )


def test_clocks_that_are_an_hour_off_make_no_difference(fleet: Fleet, players: Players) -> None:
    slow, fast, right = fleet.members
    with ExitStack() as stack:
        stack.enter_context(players.uncut())
        for member, off in ((slow, "-1h"), (fast, "+1h")):
            stack.enter_context(clock_off(member.host, off))
        until(fleet.is_true)
        for member in fleet.members:
            assert all(0 <= seen["age_s"] < UNHEARD_S for seen in member.sees().values())
        for full in (slow, fast):
            players.fill(full)
        assert {players.plays(full, JSON).owner for full in (slow, fast)} == {right}


def test_nobody_speaks_in_the_name_of_another(fleet: Fleet) -> None:
    forger, other, third = fleet.members
    subject = f"acekeeper.v1.{NAME}"
    theirs = [
        f"{subject}.beat.{other.name}",
        f"{subject}.state.{other.name}",
        f"{subject}.snap.{third.name}.{other.name}",
        *(f"{subject}.ask.{third.name}.{what}.{other.name}" for what in ("sync", "play", "drop")),
        f"+{subject}.ask.{other.name}.>",
        f"+_INBOX.{other.name}.>",
    ]
    for server in fleet.members:
        said = forged(forger, server, *theirs)
        refused = [
            re.sub('.*permissions violation for .* to "(.*)"', r"\1", words) for words in said
        ]
        assert {*refused} == {subject.strip("+").lower() for subject in theirs}
    assert fleet.is_true()
