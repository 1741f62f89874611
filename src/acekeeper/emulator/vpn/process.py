"""One VPN process: from its command line to its exit code."""

import os
import signal

from ..faults import Faults
from ..process import STOP_SIGNALS, say
from ..wire import CannotListen, Server
from ..words import HELP, usage
from .options import MEANING, OPTIONS, parse
from .servers import Control, Health
from .tunnel import Tunnel


def main(argv: list[str]) -> int:
    if not HELP.isdisjoint(argv):
        print(usage("emulator vpn", MEANING, OPTIONS))  # noqa: T201
        return 0
    # Blocked, so that they wait for `sigwait` below; threads inherit it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        flags = parse(argv)
    except ValueError as error:
        say(f"bad option: {error}")
        return 2
    faults = Faults()
    tunnel = Tunnel(flags, faults)
    control = Control(tunnel, faults, os.environ.get("VPN_API_KEY", ""))
    try:
        Server("127.0.0.1", flags.health_port, Health(tunnel, faults).serve).listen()
        Server("127.0.0.1", flags.control_port, control.serve).listen()
        tunnel.count()
    except CannotListen as error:
        say(str(error))
        return 1
    say(f"INFO [http server] http server listening on 127.0.0.1:{flags.control_port}")
    signal.sigwait(STOP_SIGNALS)
    say("INFO shutting down")
    return 0
