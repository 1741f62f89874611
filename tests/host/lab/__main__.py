import argparse
import signal
import subprocess
import sys

from . import machine
from .errors import LabError
from .lab import COMMAND_LINE, Lab, heal
from .places import locked


def main() -> int:
    parser = argparse.ArgumentParser(prog="lab", description="Bare Debian 13 hosts to test on.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, does in {
        "check": "install what the lab needs, or say why there can be none",
        "up": "make a host; prints its address",
        "ssh": "log in as root, or run a command",
        "reboot": "reboot a host and wait until it runs again",
        "down": "remove a host",
        "clean": "remove all hosts, and what killed test runs left",
    }.items():
        action_parser = actions.add_parser(action, help=does, description=does)
        if action not in ("check", "clean"):
            action_parser.add_argument("number", type=int, help="the host's, from 1")
        if action == "ssh":
            action_parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _: sys.exit(128 + number))
    try:
        return _act(arguments)
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _act(arguments: argparse.Namespace) -> int:
    lab = Lab(COMMAND_LINE)
    if arguments.action == "ssh":
        host = lab.host(arguments.number)
        if not host.is_up():
            raise LabError(f"{host.name} is not up")
        target = f"root@{host.address}"
        return subprocess.call(["ssh", *host.ssh_options, target, *arguments.command])
    machine.check()
    if arguments.action == "check":
        return 0
    with locked(f"lab-{COMMAND_LINE}"):
        match arguments.action:
            case "up":
                sys.stdout.write(f"{lab.up(arguments.number).address}\n")
            case "reboot":
                lab.host(arguments.number).reboot()
            case "down":
                lab.down(arguments.number)
            case _:
                lab.clean()
                heal()
    return 0


if __name__ == "__main__":
    sys.exit(main())
