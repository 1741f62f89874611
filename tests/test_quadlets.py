"""The quadlets as files. What Podman's generator makes of them is compared on a host."""

import re
from pathlib import Path

import pytest

from acekeeper.adapters.engine_logs import LARGEST, log_file
from acekeeper.core.names import HERE, Slot

ROOT = Path(__file__).parents[1]
BASE = ROOT / "quadlets/engine@.container"
CANARY = ROOT / "quadlets/canary.conf"
ACEXY = ROOT / "quadlets/acexy.container"
VPN = ROOT / "quadlets/vpn@.container"
RULES = ROOT / "quadlets/vpn-rules.txt"
VARIANTS = sorted((ROOT / "quadlets/variants").iterdir())
EVERY_VARIANT = pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)


def settings(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@EVERY_VARIANT
def test_a_variant_tells_its_engine_every_port(variant: Path) -> None:
    (command,) = (line for line in settings(variant) if "--http-port" in line)
    given = dict(re.findall(r"--([a-z0-9-]*port) \$\{(\w+)\}", command))
    assert given == {
        "http-port": "HTTP_PORT",
        "https-port": "HTTPS_PORT",
        "port": "P2P_PORT",
        "api-port": "API_PORT",
    }


@EVERY_VARIANT
def test_a_variant_loosens_nothing(variant: Path) -> None:
    keys = {line.partition("=")[0] for line in settings(variant)}
    run = {"Entrypoint", "Environment", "Exec", "RunInit", "User"}
    assert keys <= {"[Container]", *run, "ShmSize", "Tmpfs"}
    mounts = [line for line in settings(variant) if line.startswith("Tmpfs=")]
    assert all(re.search(r":rw,size=\d+m,mode=1777$", mount) for mount in mounts)


def test_only_the_peer_to_peer_port_is_open_to_the_world() -> None:
    published = [line for line in settings(BASE) if "publish" in line.lower()]
    open_to_all = {line for line in published if "127.0.0.1:" not in line}
    assert open_to_all == {
        "PodmanArgs=$HTTP_PUBLISH",
        "PublishPort=${P2P_PORT}:${P2P_PORT}/tcp",
        "PublishPort=${P2P_PORT}:${P2P_PORT}/udp",
    }
    assert 'Environment="HTTP_PUBLISH=--publish=127.0.0.1:%i:%i/tcp"' in published
    assert len(published) == 6


def test_an_engine_has_a_network_of_its_own_unless_its_file_says_otherwise() -> None:
    lines = settings(BASE)
    assert "Network=${ENGINE_NETWORK}" in lines
    default, file = (
        lines.index("Environment=ENGINE_NETWORK=pasta ENGINE_VPN="),
        next(n for n, line in enumerate(lines) if line.startswith("EnvironmentFile=")),
    )
    assert default < file  # which wins
    assert not any("ENGINE_NETWORK" in line for line in settings(CANARY))


def test_what_an_engine_prints_is_bounded_as_that_of_a_process_is() -> None:
    state_dir = Path("%S/acekeeper")
    path = str(log_file(state_dir, Slot(HERE, 19000))).replace("19000", "%i")
    lines = [line for line in settings(BASE) if line.startswith("Log")]
    most = f"{LARGEST // 1_000_000}mb"
    assert lines == ["LogDriver=k8s-file", f"LogOpt=path={path}", f"LogOpt=max-size={most}"]


def test_the_canary_has_of_its_own_only_what_keeps_it_apart() -> None:
    own, base = settings(CANARY), settings(BASE)
    assert {line.partition("=")[0] for line in own if not line.startswith("[")} == {
        *("ContainerName", "Description", "EnvironmentFile", "LogDriver", "LogOpt"),
        *("PodmanArgs", "PublishPort", "RuntimeMaxSec"),
    }
    (file,) = (line for line in base if line.startswith("EnvironmentFile="))
    assert [line for line in own if line.startswith("EnvironmentFile=")] == [
        "EnvironmentFile=",
        file.replace("/engines/", "/canary/"),
    ]
    published = [line for line in base if line.startswith("PublishPort=")]
    here = [line.replace("=${P2P_PORT}:", "=127.0.0.1:${P2P_PORT}:") for line in published]
    assert [line for line in own if line.startswith("PublishPort=")] == ["PublishPort=", *here]


def test_acexy_is_confined_as_an_engine_is() -> None:
    confined = {
        "Pull=never",
        "UserNS=nomap",
        "User=1000:1000",
        "DropCapability=all",
        "NoNewPrivileges=true",
        "ReadOnly=true",
        "ReadOnlyTmpfs=false",
        "StartLimitIntervalSec=0",
        "DefaultDependencies=false",
    }
    assert confined <= {*settings(ACEXY)} & {*settings(BASE)}
    keys = {line.partition("=")[0] for line in settings(ACEXY)}
    assert not keys & {
        "Volume",
        "Mount",
        "Tmpfs",
        "AddDevice",
        "AddCapability",
        "SecurityLabelType",
    }


def test_a_vpn_publishes_nothing_by_itself_and_has_nobody_beside_it() -> None:
    lines = settings(VPN)
    assert not [line for line in lines if line.startswith("PublishPort=")]
    assert "PodmanArgs=$PUBLISH" in lines
    (network,) = (line for line in lines if line.startswith("Network="))
    assert network == "Network=pasta:-4,-a,10.201.0.2,-n,30,-g,10.201.0.1"


def test_only_a_vpn_is_root_in_its_network() -> None:
    """Which its rules go by: engines' users are none of its own."""
    lines = settings(VPN)
    assert {"Environment=PUID=0", "Environment=PGID=0"} <= {*lines}
    assert not any(line.startswith(("UserNS=", "User=")) for line in lines)
    assert "UserNS=nomap" in settings(BASE)


def test_a_vpn_comes_back_by_itself_and_takes_its_engines_with_it() -> None:
    lines = settings(VPN)
    assert {
        "Restart=always",
        "StartLimitIntervalSec=0",
        "DefaultDependencies=false",
        "WantedBy=default.target",
    } <= {*lines}
    ends = [line for line in lines if line.startswith("ExecSt")]
    label = "label=acekeeper.vpn="
    removes = re.compile(rf"-/usr/bin/podman rm --force --ignore --time \d --filter={label}%i")
    whenever = {
        name for name, _, does in (line.partition("=") for line in ends) if removes.match(does)
    }
    assert whenever == {"ExecStartPre", "ExecStop", "ExecStopPost"}
    assert "Label=acekeeper.vpn=${ENGINE_VPN}" in settings(BASE)


def test_podman_cannot_start_a_vpn_that_has_ended_for_an_engine_that_joins_it() -> None:
    """It needs a file that is there only while its unit starts it."""
    lines = settings(VPN)
    once = "%t/%N.once"
    assert f"Volume={once}:/run/once:ro" in lines
    assert f"ExecStartPre=/usr/bin/touch {once}" in lines
    assert f"ExecStartPost=/usr/bin/rm --force {once}" in lines


def test_what_leaves_a_vpn_otherwise_than_by_its_tunnel_is_its_own_for_both_protocols() -> None:
    """Each rule may be run again, and what none of them passes is dropped. A reply is one only to
    who came in by its own address, not by the tunnel: it would leave while there is no tunnel."""
    chain = "-t mangle {} POSTROUTING"
    rules = [
        chain.format("-P") + " DROP",
        chain.format("-F"),
        *(
            f"{chain.format('-A')} {what} -j ACCEPT"
            for what in (
                "-o lo",
                "-o tun0",
                "-m mark --mark 51820",
                "-m owner --uid-owner 0",
            )
        ),
    ]
    (network,) = (line for line in settings(VPN) if line.startswith("Network="))
    kind, only_ipv4, _, address, *_ = network.removeprefix("Network=").replace(":", ",").split(",")
    assert (kind, only_ipv4) == ("pasta", "-4")
    reply = f"-m conntrack --ctdir REPLY --ctorigdst {address}"
    by_ipv4 = [*rules, f"{chain.format('-A')} {reply} -j ACCEPT"]
    assert settings(RULES) == [
        *(f"iptables {rule}" for rule in by_ipv4),
        *(f"ip6tables {rule}" for rule in rules),
    ]


def test_the_recorded_unit_of_a_vpn_is_of_its_file() -> None:
    assert_recorded("vpn@.service", settings(VPN))


def test_acexy_comes_after_the_gateways_socket_and_goes_on_trying() -> None:
    assert {
        "After=acekeeper-gateway.socket",
        "Restart=always",
        "WantedBy=default.target",
        "Network=host",
    } <= {*settings(ACEXY)}


def test_the_recorded_unit_of_acexy_is_of_its_file() -> None:
    assert_recorded("acexy.service", settings(ACEXY))


@EVERY_VARIANT
def test_the_recorded_unit_is_of_these_files(variant: Path) -> None:
    assert_recorded(f"engine@.{variant.stem}.service", [*settings(BASE), *settings(variant)])
    assert len(list((ROOT / "tests/golden").glob("engine@.*.service"))) == len(VARIANTS)


def assert_recorded(name: str, lines: list[str]) -> None:
    """`pytest tests/host` compares it with what the generator makes."""
    recorded = (ROOT / "tests/golden" / name).read_text().splitlines()
    sections = {"[Quadlet]": "[X-Quadlet]", "[Container]": "[X-Container]"}
    for line in lines:
        assert sections.get(line, line) in recorded
