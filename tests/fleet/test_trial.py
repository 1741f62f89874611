"""What `make fleet` starts: players of one host are played by all, and nothing is left of it."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..running import LIMIT_S, Service, run
from .trial import ENGINES, HOSTS, fleet, gateway, get

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[dict[str, Service]]:
    with fleet(tmp_path) as trial:
        yield trial.hosts


def play(service: Service, content: int) -> str:
    """The address of the host that plays it."""
    url = f"{gateway(service)}/ace/getstream?format=json&id={content:040d}"
    return str(urlsplit(get(url)["response"]["playback_url"]).hostname)


def test_players_of_one_host_are_played_by_all(hosts: dict[str, Service]) -> None:
    players = ENGINES * len(HOSTS)
    played = [play(hosts["a"], content) for content in range(players)]
    assert played[:ENGINES] == [HOSTS["a"]] * ENGINES
    assert Counter(played) == dict.fromkeys(HOSTS.values(), ENGINES)


def test_the_command_shows_every_host(hosts: dict[str, Service]) -> None:
    shown = run(hosts["b"].environ, "fleet")
    assert shown.status == 0, shown.stderr
    for name in HOSTS:
        assert re.search(rf"\b{name}\b", shown.stdout), shown.stdout


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_says_what_to_try_and_ends_all_of_it(how: signal.Signals) -> None:
    trial = subprocess.Popen(
        [sys.executable, "-m", "tests.fleet"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert trial.stdout is not None
        said = ""
        while "Ctrl-C ends" not in said:
            line = trial.stdout.readline()
            assert line, said
            said += line
        pids = [int(pid) for pid in re.findall(r"process ([0-9]+)", said)]
        assert len(pids) == len(HOSTS)
        [settings] = re.findall(r"SETTINGS_FILE=(\S+)", said)
        examined = run({"PATH": os.environ["PATH"], "SETTINGS_FILE": settings}, "doctor")
        assert "the fleet's servers can be reached" in examined.stdout, examined
        [frozen] = re.findall(r"kill -STOP ([0-9 ]+)", said)
        pids += map(int, frozen.split())
        trial.send_signal(how)
        left, _ = trial.communicate(timeout=LIMIT_S)
        assert "All of it has ended" in left
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    finally:
        trial.kill()
        trial.wait()
