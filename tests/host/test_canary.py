"""A deployment that cannot work is refused before anything that runs is touched, under load."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acekeeper.core.names import HERE, Slot

from . import deploying, failing, image
from .deploying import Play, as_user, build, engines
from .failing import Deployed, fails
from .lab import Host, Lab
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

SETTINGS = {"MIN_REPLICAS": 2, "AUTO_DELETE": False, "PROVISION_STARTUP_GRACE_S": 12}
EXITS = "raise SystemExit(3)\n"
SILENT = "import signal\nsignal.pause()\n"
Tell = Callable[[str], None]


@pytest.fixture(scope="module")
def deployed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """No test changes what runs."""
    with failing.deployed(lab, 63, tmp_path_factory.mktemp("deployed"), SETTINGS) as deployed:
        yield deployed


def test_the_canary_is_an_engine_but_for_what_keeps_it_apart(deployed: Deployed) -> None:
    """As Podman's generator has made both of the same files."""
    engine, canary = (unit(deployed.host, name) for name in ("engine@0", "canary@0"))
    for_all = {f"--publish=${{P2P_PORT}}:${{P2P_PORT}}/{kind}" for kind in ("tcp", "udp")}
    for_us = {option.replace("=", "=127.0.0.1:", 1) for option in for_all}
    log = f"path=%S/acekeeper/logs/{Slot(HERE, 19000).container_name}.log".replace("19000", "%i")
    to_a_file = {"--log-driver k8s-file", "--log-opt max-size=4mb", f"--log-opt {log}"}
    assert engine - canary == for_all | to_a_file | {"--name=engine-%i"}
    alone = {"--log-driver journald", "--name=canary-%i", "$NO_NAMES"}
    assert canary - engine == for_us | alone


def test_an_image_whose_engines_exit_is_refused(
    deployed: Deployed, tmp_path: Path, tell: Tell
) -> None:
    with refused(deployed, tell, "an image that exits 3", **of(tmp_path, EXITS)) as played:
        assert "No engine of" in played.output
        assert "becomes ready here: code 3" in played.output


@pytest.mark.long
def test_an_image_whose_engines_never_answer_is_refused(
    deployed: Deployed, tmp_path: Path, tell: Tell
) -> None:
    with refused(deployed, tell, "an image that never answers", **of(tmp_path, SILENT)) as played:
        assert "did not answer within PROVISION_STARTUP_GRACE_S=12" in played.output


@pytest.mark.long
def test_an_image_that_is_not_there_is_refused(deployed: Deployed, tell: Tell) -> None:
    absent = {"acekeeper_image": "0" * 63 + "1"}
    what = "an image that is not there, with --tags settings"
    with refused(deployed, tell, what, "--tags=settings", **absent) as played:
        assert f"It needs {absent['acekeeper_image']} first, which is not there" in played.output


def test_a_port_that_somebody_else_has_is_refused(deployed: Deployed, tell: Tell) -> None:
    host = deployed.host
    host.ssh("systemd-run -q --unit=squatter python3 -m http.server --bind 127.0.0.1 8123")
    until(lambda: host.ssh("ss -Hltn sport = :8123").stdout != "")
    settings = {"acekeeper_settings": {**SETTINGS, "APP_PORT": 8123}}
    try:
        with refused(deployed, tell, "a taken APP_PORT", **settings) as played:
            said = "APP_PORT=8123: another program listens on 127.0.0.1:8123"
            assert said in played.output
            assert "`ss -ltnp sport = :8123` names it" in played.output
    finally:
        host.ssh("systemctl stop squatter")


def test_a_check_refuses_what_the_run_would_and_changes_nothing(deployed: Deployed) -> None:
    host, deployer = deployed.host, deployed.deployer
    given, before = deployer.variables, state(host)["rest"]
    host.ssh("systemd-run -q --unit=squatter python3 -m http.server --bind 127.0.0.1 8124")
    until(lambda: host.ssh("ss -Hltn sport = :8124").stdout != "")
    absent = "0" * 63 + "1"
    said: dict[str, deploying.Variables] = {
        "APP_PORT=8124: another program listens on 127.0.0.1:8124": {
            "acekeeper_settings": {**SETTINGS, "APP_PORT": 8124}
        },
        f"It needs {absent} first, which is not there": {"acekeeper_image": absent},
    }
    try:
        for words, variables in said.items():
            deployer.variables = {**given, **variables}
            played = deployer.play("deploy.yml", "--check", "--tags=settings", check=False)
            assert played.status != 0
            assert words in played.output
    finally:
        deployer.variables = given
        host.ssh("systemctl stop squatter")
    assert state(host)["rest"] == before
    assert as_user(host, "systemctl --user list-units --all --no-legend 'canary@*'") == ""


def unit(host: Host, name: str) -> set[str]:
    """What its container is run with."""
    text = as_user(host, f"systemctl --user cat {name}.service")
    [run] = re.findall("^ExecStart=(.*)$", text, re.MULTILINE)
    command, _, arguments = run.partition(" ${ENGINE_IMAGE}")
    variables = re.findall(r" (\$\w+)", command)  # of several words, or none
    command = re.sub(r" \$\w+", "", command)
    options = [
        f"--{option.strip()}".replace("--publish ", "--publish=")
        for option in command.split(" --")[1:]
    ]
    named = (option.replace("--name ", "--name=") for option in options)
    return {*named, *variables, arguments}


@contextmanager
def refused(
    deployed: Deployed, tell: Tell, what: str, *options: str, **variables: object
) -> Iterator[Play]:
    host = deployed.host
    before = state(host)
    failed = fails(deployed, *options, **variables)
    report, output = failed.report, failed.played.output
    assert report["failed"] == []
    assert "stays as it is" in output
    assert "switch |" not in output
    after = state(host)
    # The one that was played on has a successor meanwhile.
    assert before["engines"].items() <= after["engines"].items()
    assert before["rest"] == after["rest"]
    assert as_user(host, "systemctl --user list-units --all --no-legend 'canary@*'") == ""
    assert as_user(host, "podman ps -aq --filter name=canary") == ""
    tell(
        f"{what}: refused after {failed.seconds:.0f} s; {report['calls']} calls, none failed,"
        f" longest {report['longest']} s"
    )
    yield failed.played


def state(host: Host) -> dict[str, dict[str, str]]:
    files = (
        "find /etc/acekeeper /opt/acekeeper/current /opt/acekeeper/systemd"
        " /etc/containers/systemd/users/*/engine@* ~acekeeper/.config/systemd"
        " ! -type d -printf '%p %T@ %l\\n'"
    )
    return {
        "engines": engines(host),
        "rest": {
            "build": build(host),
            "service": deploying.starts(host, "acekeeper.service")["acekeeper.service"],
            "files": host.ssh(files).stdout,
        },
    }


def of(directory: Path, program: str) -> deploying.Variables:
    source = directory / "program"
    source.mkdir()
    (source / "__main__.py").write_text(program)
    built = image.build(
        directory, image.Program("localhost/other:test", "A program for tests", source, "other")
    )
    return deploying.from_archive(built)
