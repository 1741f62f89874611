"""`stop`: an engine's end at once, or that of all and of the service."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from acekeeper.cli import engines
from acekeeper.cli.commands import Commands
from acekeeper.cli.text import count
from acekeeper.errors import AcekeeperError, BadSetting

if TYPE_CHECKING:
    from acekeeper.settings import Settings

_BEGUN_WITHIN_S = 5.0  # by then a child that a killed service forked runs its program


def add(commands: Commands) -> None:
    text = "stop an engine at once, whatever plays on it"
    more = "without one, end the service and all that it runs (only where RUNTIME is process)"
    engines.add_names(commands.add("stop", _stop, text, more), "*")


def _stop(arguments: argparse.Namespace) -> int:
    from acekeeper.settings import load

    settings = load(os.environ)
    if arguments.engine:
        engines.end(settings, arguments.engine, "DELETE", "/containers/{}")
        return 0
    return _stop_all(settings)


def _stop_all(settings: "Settings") -> int:
    import signal

    from acekeeper.adapters import lock, proc
    from acekeeper.adapters.processes import note_stops, stop_all
    from acekeeper.adapters.systemctl import systemctl
    from acekeeper.adapters.vpn_processes import stop_vpns

    if settings.runtime != "process":
        raise BadSetting(
            "RUNTIME=quadlet: systemd owns the engines",
            f"Use {systemctl('stop', 'acekeeper.socket', 'acekeeper.service', 'engine@*')}",
        )
    service = lock.holder(settings.state_dir)
    if service is not None:
        proc.send(service, signal.SIGTERM)
        if not proc.ended(service, within=30):
            raise AcekeeperError("the service does not end", "See its log")
        print("stopped the service")
    with lock.waited_for(settings.state_dir, _BEGUN_WITHIN_S):
        try:
            note_stops(settings.state_dir)
        except OSError as error:
            why = f"{settings.state_dir} cannot be written ({error.strerror})"
            words = f"acekeeper: the next start will call the engines vanished: {why}"
            print(words, file=sys.stderr)
        stopped = stop_all(settings.state_dir)
        vpns = stop_vpns(settings.state_dir)
    print(f"stopped {count(stopped, 'engine')}" + (f" and {count(vpns, 'VPN')}" if vpns else ""))
    return 0
