"""The gateway of a host: its socket, its players through restarts and kills, its port taken."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any
from urllib.parse import urlsplit

import pytest

from ..contract.client import PATIENCE
from . import deploying, image
from .asking import KEY
from .deploying import INTERVALS, Deployer, Play, as_user, engine_pid, show
from .lab import Host, Lab
from .viewing import LIMIT_S, Playing, Viewing
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

MIN_REPLICAS, MAX_REPLICAS = 3, 8
SETTINGS = {
    "MIN_REPLICAS": MIN_REPLICAS,
    "MAX_REPLICAS": MAX_REPLICAS,
    **INTERVALS,
    "HEALTH_UNHEALTHY_GRACE_PERIOD_S": 2,
    "HEALTH_REPLACEMENT_COOLDOWN_S": 1,
    "ENGINE_GRACE_PERIOD_S": 86400,  # so that none goes for being one too many
    "GATEWAY_IDLE_S": 5,
    "GATEWAY_WAIT_S": LIMIT_S,  # so that no play fails because the machine is slow
}
SOCKET = "acekeeper-gateway.socket"
GATEWAY = "127.0.0.1:6878"
ENGINE, NETWORK = "python3 -m acekeeper.emulator", "/usr/bin/pasta"
ADMIN_PORT = 6999  # in an engine's own network
VARIANT = "/etc/containers/systemd/users/$(id -u acekeeper)/engine@.container.d/variant.conf"
TAKE_PORT = (
    f"systemd-run -q --collect --unit=taker python3 -m http.server -b 127.0.0.1 {GATEWAY[-4:]}"
)
TAKEN = f"gateway: another program listens on {GATEWAY}; `ss -ltnp sport = :6878` names it"
STARTED = "/streams?status=started"


@dataclass(frozen=True)
class Deployed:
    host: Host
    first: Play

    def tell(self, fault: str, content: str) -> None:
        """All engines to show it for this content."""
        body = json.dumps({"kind": fault, "content": content})
        self._admin(f"-d '{body}'", "/faults")

    def hold(self, *contents: str) -> None:
        """The players of these wait for the picture, and none is moved for the silence alone."""
        for content in contents:
            self.tell("hang_read", content)
            self.tell("no_peers", content)

    def well_again(self, *ports: int) -> None:
        self._admin("-X DELETE", "/faults", *ports)

    def sessions(self) -> set[str]:
        """The tokens of those that are open, by the engines' own word."""
        said = self._admin("", "/sessions")
        return {session["token"] for answer in said for session in answer["sessions"]}

    def _admin(self, options: str, path: str, *ports: int) -> list[Any]:
        which = " ".join(f"-e 'http-port {port} '" for port in ports) or "-e ''"
        ask = f"nsenter -t $pid -n curl -sf {options} http://127.0.0.1:{ADMIN_PORT}{path}; echo"
        pids = f"pgrep -af '^{ENGINE}' | grep {which} | cut -d' ' -f1"
        said = self.host.ssh(f"for pid in $({pids}); do {ask}; done").stdout
        return [json.loads(line) for line in said.splitlines() if line]

    def pid(self, port: int, program: str) -> int:
        return engine_pid(self.host, unit(port), program)

    def degraded(self) -> list[str]:
        ready = self.host.ssh("curl -s http://127.0.0.1:8000/health/ready").stdout
        said: list[str] = json.loads(ready)["degraded"]
        return said

    def service_pid(self) -> int:
        return int(show(self.host, "acekeeper.service", "MainPID"))

    def restart(self) -> None:
        as_user(self.host, "systemctl --user restart acekeeper.service")

    def taken(self, *, port: bool) -> None:
        """Whether somebody else has the gateway's port."""
        self.host.ssh(TAKE_PORT if port else "systemctl stop taker")
        if port:
            until(lambda: self.host.ssh("ss -Hltn sport = :6878").stdout != "")


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Somebody else has the gateway's port at first, and at the end it is to be had again."""
    host = lab.up(61)
    host.ssh(TAKE_PORT)
    directory = tmp_path_factory.mktemp("deployed")
    variables = {
        **deploying.from_archive(image.build(directory)),
        "acekeeper_settings": SETTINGS,
        "acekeeper_api_key": KEY,
    }
    deployer = Deployer(directory, [host], variables)
    yield Deployed(host, deployer.deploy())
    deployer.play("uninstall.yml")
    assert host.ssh("ss -Hltn sport = :6878").stdout == ""
    assert host.ssh("find / -xdev -name 'acekeeper-gateway*' -not -path '/proc/*'").stdout == ""
    lab.down(61)


@pytest.fixture(scope="module")
def opened(deployed: Deployed) -> Deployed:
    """Its port is the gateway's, and its engines can be told to have faults."""
    deployed.taken(port=False)
    deployed.host.ssh(f"sed -i '/^Exec=/s/$/ --admin-port {ADMIN_PORT}/' {VARIANT}")
    as_user(deployed.host, "systemctl --user daemon-reload")
    as_user(deployed.host, "systemctl --user stop 'engine@*'")
    deployed.restart()
    return deployed


@pytest.fixture
def viewing(opened: Deployed) -> Iterator[Viewing]:
    """As many engines are free as there are to be, and nobody plays."""
    with Viewing(opened.host, KEY) as viewing:
        until(lambda: viewing.free() >= MIN_REPLICAS and not playing_keys(viewing))
        yield viewing


@pytest.fixture
def playing(opened: Deployed, viewing: Viewing) -> Iterator[Playing]:
    """All are well at the end, and nobody is left playing."""
    with Playing(opened.host) as playing:
        yield playing
        opened.well_again()
        playing.do("leave")


def unit(port: int) -> str:
    return f"engine@{port}.service"


def channels(count: int) -> list[str]:
    return [secrets.token_hex(20) for _ in range(count)]


def streams(viewing: Viewing) -> dict[str, int]:
    """The ports of the engines where the gateway has sessions that play, by content."""
    started = viewing.do("get", STARTED)
    return {s["key"]: urlsplit(s["stat_url"]).port or 0 for s in started if s["via"] == "gateway"}


def playing_keys(viewing: Viewing) -> set[str]:
    return {*streams(viewing)}


def listed(viewing: Viewing) -> list[int]:
    return [engine["port"] for engine in viewing.do("get", "/engines")]


def come(playing: Playing, contents: list[str], *forms: str) -> None:
    """In turn those that ask for JSON and those that are redirected, unless said otherwise."""
    for content, form in zip(contents, cycle(forms or ("json", "redirected")), strict=False):
        playing.do("come", form, content)


def waiting(viewing: Viewing) -> int:
    count: int = viewing.do("get", "/orchestrator/status")["gateway"]["waiting"]
    return count


def test_the_port_belongs_to_systemd_and_players_to_engines(
    opened: Deployed, viewing: Viewing
) -> None:
    assert show(opened.host, SOCKET, "ActiveState") == "active"
    [channel] = channels(1)
    url = f"http://{GATEWAY}/ace/getstream?id={channel}"
    packets = "head -c 188000 | od -An -v -tx1 -w188 | cut -c2-3 | sort | uniq -c"
    said = opened.host.ssh(f"curl -sLv '{url}' 2>/run/headers | {packets}; cat /run/headers")
    [packets, *headers] = said.stdout.splitlines()
    assert packets.split() == ["1000", "47"]
    [_, place] = [line.split()[-1] for line in headers if line.lower().startswith("< location:")]
    port = urlsplit(place).port
    assert port in {engine["port"] for engine in viewing.do("get", "/engines")}
    assert f"engine-{port}\n" in as_user(opened.host, "podman ps --format '{{.Names}}'")

    [channel] = channels(1)
    url = f"http://{GATEWAY}/ace/getstream?id={channel}&format=json"
    session = json.loads(opened.host.ssh(f"curl -s '{url}'").stdout)["response"]
    urls = [session[name] for name in ("playback_url", "stat_url", "command_url")]
    assert {urlsplit(url).netloc for url in urls} == {GATEWAY}
    stopped = opened.host.ssh(f"curl -s '{session['command_url']}?method=stop'").stdout
    assert json.loads(stopped) == {"response": "ok", "error": None}


def test_two_restarts_under_load_cost_no_play(
    opened: Deployed, viewing: Viewing, playing: Playing, tell: Callable[[str], None]
) -> None:
    """Some read, some wait for a picture, some come all the time and wait for engines; and clients
    of the API ask."""
    # A start takes most of what a proxy waits.
    assert viewing.do("post", f"/scale/{MAX_REPLICAS}")["code"] < 300
    until(lambda: len(listed(viewing)) == MAX_REPLICAS)
    reading = channels(2)
    come(playing, reading)
    before = playing.do("plays", *reading)
    was = opened.service_pid()
    playing.do("crowd", 2)
    viewing.do("load", 4)
    for _ in range(2):
        held = channels(2)
        opened.hold(*held)
        come(playing, held)
        until(lambda held=held: playing_keys(viewing) >= {*held})  # type: ignore[misc]
        opened.restart()
        opened.well_again()
        playing.do("plays", *held)
        playing.do("leave", *held)
        playing.do("crowd_plays", 10)
    api, crowd = viewing.do("unload"), playing.do("disperse")
    after = playing.do("reads_on", *reading)
    waited = ", ".join(f"{form} {seconds} s" for form, seconds in crowd["longest"].items())
    tell(
        f"two restarts under load: {len(crowd['failed'])} of {crowd['plays']} plays failed, longest"
        f" waits {waited}; {len(api['failed'])} of {api['calls']} calls of the API, longest"
        f" {api['longest']} s; longest silence of a reader"
        f" {max(reader['silence'] for reader in after)} s"
    )
    assert crowd["failed"] == []
    assert api["failed"] == []
    assert api["lost"] == []
    assert api["longest"] < 2 * PATIENCE  # of two calls
    assert opened.service_pid() != was
    assert [reader["port"] for reader in after] == [reader["port"] for reader in before]
    assert playing_keys(viewing) >= {*reading}


def test_who_waits_for_an_engine_waits_on_through_a_restart(
    viewing: Viewing, playing: Playing, opened: Deployed
) -> None:
    reading, late = channels(MAX_REPLICAS), channels(2)
    come(playing, reading)
    playing.do("plays", *reading)
    come(playing, late)
    until(lambda: waiting(viewing) == 2)
    as_user(opened.host, "systemctl --user restart --no-block acekeeper.service")
    playing.do("leave", *reading[::2][:2])  # those that stop their sessions
    playing.do("plays", *late)


@pytest.mark.parametrize("program", [ENGINE, NETWORK], ids=["engine", "network"])
def test_what_dies_under_a_player_that_waits_costs_it_no_play(
    opened: Deployed, viewing: Viewing, playing: Playing, program: str
) -> None:
    held, *others = channels(MIN_REPLICAS)
    opened.hold(held)
    come(playing, [held])
    until(lambda: held in playing_keys(viewing))
    victim = streams(viewing)[held]
    opened.well_again(*(port for port in listed(viewing) if port != victim))
    opened.host.ssh(f"kill -9 {opened.pid(victim, program)}")
    [played] = playing.do("plays", held)
    assert played["port"] != victim
    come(playing, others)
    assert victim not in {other["port"] for other in playing.do("plays", *others)}
    if program == NETWORK:
        assert show(opened.host, unit(victim), "NRestarts") == "0"


def test_a_player_whose_engine_dies_plays_from_another_one_when_it_asks_again(
    opened: Deployed, viewing: Viewing, playing: Playing
) -> None:
    doomed, other = channels(2)
    come(playing, [doomed, other])
    victim, _ = (reader["port"] for reader in playing.do("plays", doomed, other))
    opened.host.ssh(f"kill -9 {opened.pid(victim, ENGINE)}")
    assert playing.do("ended", doomed) != [""]
    come(playing, [doomed])
    [again] = playing.do("plays", doomed)
    assert again["port"] != victim
    playing.do("reads_on", other)
    assert playing_keys(viewing) == {doomed, other}


def test_after_a_kill_nothing_is_claimed_or_open_for_those_who_left(
    opened: Deployed, viewing: Viewing, playing: Playing
) -> None:
    """One player in every phase: some read, one waits for its picture, one for an engine's
    answer, some for an engine."""
    reading, [held, opening, *late] = channels(MAX_REPLICAS - 2), channels(4)
    come(playing, reading)
    before = playing.do("plays", *reading)
    opened.hold(held)
    opened.tell("hang_getstream", opening)
    come(playing, [held], "redirected")
    until(lambda: held in playing_keys(viewing))
    come(playing, [opening], "redirected")
    until(lambda: waiting(viewing) == 1)
    come(playing, late, "redirected")
    until(lambda: waiting(viewing) == 3)
    was = opened.service_pid()
    opened.host.ssh(f"kill -9 {was}")
    until(lambda: opened.service_pid() not in (0, was))
    playing.do("leave", held, opening, *late)
    opened.well_again()

    def agree(*contents: str) -> bool:
        said = {urlsplit(s["stat_url"]).path for s in viewing.do("get", STARTED)}
        tokens = {path.rpartition("/")[2] for path in said}
        status = viewing.do("get", "/orchestrator/status")
        taken = status["capacity"]["total"] - status["capacity"]["available"]
        return (
            playing_keys(viewing) == {*contents}
            and opened.sessions() == tokens
            and taken == len(contents)
            and status["gateway"]["waiting"] == 0
        )

    until(lambda: agree(*reading))
    after = playing.do("reads_on", *reading)
    assert [reader["port"] for reader in after] == [reader["port"] for reader in before]
    playing.do("leave")
    until(agree)


def test_a_port_that_somebody_else_has_is_said_and_had_again(
    opened: Deployed, viewing: Viewing, playing: Playing
) -> None:
    assert TAKEN in opened.first.output
    as_user(opened.host, "systemctl --user stop acekeeper.socket acekeeper.service")
    opened.taken(port=True)
    opened.restart()
    try:
        until(lambda: opened.degraded() == [TAKEN])
        assert show(opened.host, SOCKET, "ActiveState") == "failed"
        assert viewing.do("get", "/orchestrator/status")["gateway"]["listening"] == []
        assert len(listed(viewing)) >= MIN_REPLICAS
    finally:
        opened.taken(port=False)
        opened.restart()
    until(lambda: opened.degraded() == [])
    assert show(opened.host, SOCKET, "ActiveState") == "active"
    [channel] = channels(1)
    come(playing, [channel])
    playing.do("plays", channel)
