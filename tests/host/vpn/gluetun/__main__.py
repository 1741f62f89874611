import os
import signal
import sys
import threading

from . import firewall, links
from .control import Control, health, serve
from .links import Link
from .tunnel import Config, Tunnel

SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2}


def main() -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # for `sigwait` below; threads inherit it
    link = Link.default()
    firewall.enable(link, _ports("FIREWALL_INPUT_PORTS"))
    links.route_replies(link)
    config = Config.read()
    firewall.allow_tunnel(link, config.endpoint)
    tunnel = Tunnel(config, asks_port=os.environ.get("VPN_PORT_FORWARDING") == "on")
    serve(os.environ.get("HTTP_CONTROL_SERVER_ADDRESS", ":8000"), Control(tunnel).answer)
    serve(os.environ.get("HEALTH_SERVER_ADDRESS", "127.0.0.1:9999"), lambda *_: health(tunnel))
    threading.Thread(target=tunnel.run, daemon=True).start()
    while True:
        match signal.sigwait(SIGNALS):
            case signal.SIGUSR1:
                tunnel.wanted.clear()
            case signal.SIGUSR2:
                tunnel.wanted.set()
            case _:
                return 0


def _ports(name: str) -> list[str]:
    return [port.strip() for port in os.environ.get(name, "").split(",") if port.strip()]


if __name__ == "__main__":
    sys.exit(main())
