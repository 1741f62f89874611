"""Deployments that fail, while viewers play."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .asking import KEY
from .deploying import Deployer, Play, Variables, deploy, engines
from .lab import Host, Lab
from .viewing import Viewing
from .waiting import until

CLIENTS, PAUSE_S = 4, 0.2


@dataclass(frozen=True)
class Deployed:
    host: Host
    deployer: Deployer


@dataclass(frozen=True)
class Failed:
    played: Play
    seconds: float
    report: dict[str, Any]  # of the viewers' calls meanwhile


@contextmanager
def deployed(lab: Lab, number: int, directory: Path, settings: Variables) -> Iterator[Deployed]:
    """With the engines of MIN_REPLICAS."""
    host = lab.up(number)
    deployer = deploy(host, directory, settings, KEY)
    until(lambda: len(engines(host)) == settings["MIN_REPLICAS"])
    yield Deployed(host, deployer)
    lab.down(number)


def fails(deployed: Deployed, *options: str, **variables: object) -> Failed:
    """With these variables for once. No stream is lost, nor the picture of who plays all along."""
    deployer = deployed.deployer
    given = deployer.variables
    deployer.variables = {**given, **variables}
    with Viewing(deployed.host, KEY) as viewing:
        viewing.do("begin", 1)
        viewing.do("load", CLIENTS, PAUSE_S)
        began = time.monotonic()
        try:
            played = deployer.play("deploy.yml", *options, check=False)
        finally:
            deployer.variables = given
        seconds = time.monotonic() - began
        report = viewing.do("unload")
        assert played.status != 0, played.output
        assert report["lost"] == []
        assert viewing.do("playing") == viewing.do("leave") == [True]
    return Failed(played, seconds, report)
