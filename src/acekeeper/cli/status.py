"""`status`: how all is."""

import argparse
import os

from acekeeper.cli.commands import Commands


def add(commands: Commands) -> None:
    commands.add("status", _status, "show the engines and how all is")


def _status(_: argparse.Namespace) -> int:
    from acekeeper.client import call
    from acekeeper.settings import load

    settings = load(os.environ)
    whole = call(settings, "GET", "/orchestrator/status")
    engines = call(settings, "GET", "/engines?include=all")
    streams = call(settings, "GET", "/streams?status=started")
    players = {stream["id"]: stream["player"] for stream in streams}
    ready = call(settings, "GET", "/health/ready")
    blocked = whole["provisioning"]["blocked_reason"]
    print(
        f"{whole['status']}; {len(engines)} engines, {whole['capacity']['available']} free;"
        f" {whole['streams']['active']} streams; breaker {ready['circuit_state']}"
        + (f"; no provisioning: {blocked}" if blocked else "")
    )
    gateway = whole["gateway"]
    if gateway:
        where = ", ".join(gateway["listening"]) or "nowhere"
        counts = f"{gateway['playing']} playing, {gateway['waiting']} waiting"
        print(f"  gateway on {where}; {counts}")
    for wrong in ready["degraded"]:
        print(f"  {wrong}")
    for engine in sorted(engines, key=lambda e: (e["host"], e["port"])):
        address = f"{engine['host']}:{engine['port']}"
        state = f"{engine['phase']:9} {engine['health_status']:9}"
        theirs = sorted({players[i] for i in engine["streams"] if players.get(i)})
        print(
            f"  {address:21} {state} {len(engine['streams'])} streams  {engine['container_name']}"
            + (f"  for {', '.join(theirs)}" if theirs else "")
        )
    return 0
