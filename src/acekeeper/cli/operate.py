"""What an operator has done to the pool: `sweep`, `scale`, `provision`, `reset-breaker`."""

import argparse
import os

from acekeeper.cli.commands import Commands


def add(commands: Commands) -> None:
    text = "ask the service for one pass of a kind, and say what it found and did"
    sweep = commands.add("sweep", _sweep, text)
    sweep.add_argument("kind", choices=["health", "streams", "scale"])
    text = "keep at least so many engines from now on, whatever MIN_REPLICAS says; 0 ends it"
    scale = commands.add("scale", _scale, text)
    scale.add_argument("count", metavar="COUNT", type=_count)
    text = "take an engine that nobody else gets for 60 s, and say where it is"
    commands.add("provision", _provision, text)
    text = "close the circuit breaker and forget the failed starts it counted"
    commands.add("reset-breaker", _reset_breaker, text)


def _count(said: str) -> int:
    if said.isascii() and said.isdecimal() and len(said) <= 4:
        return int(said)
    raise argparse.ArgumentTypeError(f"{said!r} is not a whole number up to 9999")


def _sweep(arguments: argparse.Namespace) -> int:
    from acekeeper.client import call
    from acekeeper.settings import load

    report = call(load(os.environ), "POST", f"/sweeps/{arguments.kind}")
    found = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in report.items())
    print(f"{arguments.kind}: {found}")
    return 0


def _scale(arguments: argparse.Namespace) -> int:
    from acekeeper.client import call
    from acekeeper.settings import load

    scaled = call(load(os.environ), "POST", f"/scale/{arguments.count}")
    kept = f"at least {scaled['scaled_to']} engines" if scaled["scaled_to"] else "MIN_REPLICAS free"
    print(f"keeps {kept}; {scaled['running']} run now")
    return 0


def _provision(_: argparse.Namespace) -> int:
    from acekeeper.client import call
    from acekeeper.settings import load

    settings = load(os.environ)
    engine = call(settings, "POST", "/provision/acestream")
    print(
        f"{engine['container_name']} at http://127.0.0.1:{engine['host_http_port']} is kept for you"
        " for 60 s, or until a stream starts there"
    )
    return 0


def _reset_breaker(_: argparse.Namespace) -> int:
    from acekeeper.client import call
    from acekeeper.settings import load

    print(call(load(os.environ), "POST", "/health/circuit-breaker/reset")["message"])
    return 0
