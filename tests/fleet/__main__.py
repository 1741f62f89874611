"""`make fleet`: three hosts of a fleet on this machine, until Ctrl-C."""

import sys
import tempfile
from pathlib import Path
from threading import Event

from ..running import COMMAND, Service
from .trial import ENGINES, api, fleet, gateway


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="acekeeper-fleet-", dir="/var/tmp") as directory:
        _say("Three hosts are being started …")
        try:
            with fleet(Path(directory)) as hosts:
                _say(_words(hosts))
                Event().wait()
        except KeyboardInterrupt:
            _say("\nAll of it has ended.")


def _words(hosts: dict[str, Service]) -> str:
    a, b, _ = hosts.values()
    rows = "".join(
        f"  {name}  panel {api(host)}/panel  gateway {gateway(host)}  process {host.process.pid}\n"
        for name, host in hosts.items()
    )
    at_a = f"{gateway(a)}/ace/getstream?id="
    environ = f"APP_HOST={a.environ['APP_HOST']} APP_PORT={a.environ['APP_PORT']}"
    return f"""\
A fleet of three hosts, of {ENGINES} emulated engines each:
{rows}
Players of host a; the third is played by another host, as the URL says to which it is sent:
  for n in 1 2 3; do
    curl -s -o /dev/null -w '%{{redirect_url}}\\n' "{at_a}$(printf %040d $n)"
  done
  ffplay '{at_a}{4:040d}'

What each knows of the others, and what it sees when one is killed:
  {environ} {COMMAND} fleet
  kill -9 {b.process.pid}

Ctrl-C ends all of it."""


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
