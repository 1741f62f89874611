"""`make fleet`: three hosts of a fleet on this machine, until Ctrl-C."""

import signal
import sys
import tempfile
from pathlib import Path
from threading import Event

from ..running import COMMAND
from .trial import ENGINES, Trial, api, fleet, gateway


def main() -> None:
    # Also where they are ignored, as of a job that a script has put in the background.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="acekeeper-fleet-", dir="/var/tmp") as directory:
        _say("Three hosts are being started …")
        try:
            with fleet(Path(directory)) as trial:
                _say(_words(trial))
                Event().wait()
        except KeyboardInterrupt:
            _say("\nAll of it has ended.")


def _words(trial: Trial) -> str:
    a, b, _ = trial.hosts.values()
    rows = "".join(
        f"  {name}  panel {api(host)}/panel  gateway {gateway(host)}  process {host.process.pid}\n"
        for name, host in trial.hosts.items()
    )
    at_a = f"{gateway(a)}/ace/getstream?id="
    servers = " ".join(str(server.pid) for server in trial.servers)
    return f"""\
A fleet of three hosts, of {ENGINES} emulated engines each:
{rows}
Three players of host a. It has {ENGINES} engines, so the third URL is of another host:
  for n in 1 2 3; do
    curl -s -o /dev/null -w '%{{redirect_url}}\\n' "{at_a}$(printf %040d $n)"
  done
  ffplay '{at_a}{4:040d}'

What host a sees, in another terminal (for b and c, set SETTINGS_FILE to b.env or c.env there):
  export SETTINGS_FILE={trial.settings["a"]}
  {COMMAND} fleet

Then break something:
  kill -9 {b.process.pid}    # host b dies: it is `lost` after 5 s
  kill -STOP {servers}    # all servers hang: each host plays alone
  kill -CONT {servers}    # they go on: the hosts are `live` again

Ctrl-C ends all of it."""


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
