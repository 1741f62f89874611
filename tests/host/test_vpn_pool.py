"""A pool behind two VPNs: one of them dies under its viewers, ports are forwarded, and players in
the network play."""

import secrets
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from .lab import Lab
from .viewing import Playing
from .vpn.deployed import NAMES, Vpns, deployed, nothing_leaks
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

FREE, STREAMS = 10, 10
WHOLE_WITHIN_S = 60.0
PORTS = (23456, 0)
ANOTHER_PORT = 34567
CONTENT = "0123456789abcdef0123456789abcdef01234567"
PICTURE = 188 * 1000


HOST = 142


def settings_of(lab: Lab, number: int) -> dict[str, object]:
    address = lab.host(number).address
    return {
        "MIN_REPLICAS": FREE,
        "MAX_REPLICAS": 30,
        "AUTOSCALE_INTERVAL_S": 2,
        "ENGINE_GRACE_PERIOD_S": 86400,  # so that none goes for being one too many
        "VPN_PORT_SETTLE_S": 5,
        "GATEWAY_IDLE_S": 1,
        "ENGINE_HOST": f"127.0.0.1,{address}",
        "GATEWAY_HOST": f"127.0.0.1,{address}",
        "GATEWAY_ALLOW": f"{lab.address.rpartition('.')[0]}.0/24",
    }


@pytest.fixture(scope="module")
def behind(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vpns]:
    directory = tmp_path_factory.mktemp("pool")
    with deployed(lab, HOST, directory, settings_of(lab, HOST), PORTS) as vpns:
        yield vpns


@pytest.fixture
def vpns(behind: Vpns) -> Iterator[Vpns]:
    until(behind.is_whole)
    with nothing_leaks(behind):
        yield behind


def vpn_of(port: int, behind: dict[str, set[int]]) -> str:
    [name] = [name for name, ports in behind.items() if port in ports]
    return name


def test_a_vpn_dies_under_its_viewers_and_the_pool_is_whole_again(
    vpns: Vpns, tell: Callable[[str], None]
) -> None:
    with Playing(vpns.host) as playing:
        contents = [secrets.token_hex(20) for _ in range(STREAMS)]
        for content in contents:
            playing.do("come", "json", content)
            playing.do("plays", content)
        until(lambda: vpns.free() >= FREE)
        before = vpns.behind()
        ports = [said["port"] for said in playing.do("reads_on", *contents)]
        plays = dict(zip(contents, (vpn_of(port, before) for port in ports), strict=True))
        killed, other = sorted(NAMES, key=[*plays.values()].count)
        assert [*plays.values()].count(killed) > 0
        began = time.monotonic()
        vpns.kill(killed)
        until(lambda: vpns.behind()[killed].isdisjoint(before[killed]))
        gone = time.monotonic() - began
        until(lambda: vpns.free() >= FREE)
        whole = time.monotonic() - began
        stay = [content for content in contents if plays[content] == other]
        said = playing.do("reads_on", *stay)
        assert {s["port"] for s in said} <= before[other]
        playing.do("leave")
    assert whole < WHOLE_WITHIN_S
    assert vpns.status()["provisioning"]["circuit_breaker_state"] == "closed"
    assert "vpn" in {entry["data"]["cause"] for entry in vpns.log("engine_died")}
    tell(
        f"a VPN was killed under {STREAMS - len(stay)} of {STREAMS} streams and"
        f" {len(before[killed])} engines: they were unlisted after {gone:.1f} s, and {FREE} engines"
        f" were free again after {whole:.1f} s; the other streams were silent for"
        f" {max(s['silence'] for s in said):.1f} s at the most"
    )


def forwarded(vpns: Vpns) -> list[str]:
    """The engines that are listed as such."""
    return [e["container_name"] for e in vpns.get("/engines") if e["forwarded"]]


def test_the_port_that_is_forwarded_reaches_an_engine(vpns: Vpns) -> None:
    name = NAMES[0]

    def is_reached() -> bool:
        engine = vpns.shown(name)["forwarded_engine"]
        return engine is not None and vpns.provider.reached(name) == engine.replace("-", " ") + "\n"

    until(is_reached)
    first = vpns.shown(name)["forwarded_engine"]
    until(lambda: forwarded(vpns) == [first])
    vpns.provider.forward(name, ANOTHER_PORT)
    until(lambda: vpns.shown(name)["forwarded_engine"] not in (None, first) and is_reached())
    vpns.provider.forward(name, 0)
    until(lambda: vpns.shown(name)["forwarded_engine"] is None)
    assert forwarded(vpns) == []
    vpns.provider.forward(name, PORTS[0])


def test_a_television_plays_from_an_engine_behind_a_vpn(vpns: Vpns) -> None:
    """This machine, which is another one on the host's network."""
    address = vpns.host.address
    url = f"http://{address}:6878/ace/getstream?id={CONTENT}"
    with urllib.request.urlopen(url, timeout=60) as picture:
        packets = picture.read(PICTURE)
        engine, _, port = picture.url.split("/")[2].partition(":")
    assert engine == address
    assert int(port) in set.union(*vpns.behind().values())
    assert {*packets[::188]} == {0x47}
    assert len(packets) == PICTURE
