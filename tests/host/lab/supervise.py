"""Runs a host's nspawn, and runs it again after each reboot: supervise.py CGROUP... -- COMMAND...

Outlives the command that made the host, so it is a program of its own.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

REBOOT = 133  # how nspawn says, under --keep-unit, that its guest asked for a reboot


def main() -> int:
    split = sys.argv.index("--")
    cgroups, command = sys.argv[1:split], sys.argv[split + 1 :]
    if not sys.stdin.readline():
        return 0  # the run that started us ended before it had noted our number
    for cgroup in cgroups:
        Path(cgroup, "cgroup.procs").write_text(str(os.getpid()))
    signals = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    while True:
        guest = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        while guest.poll() is None:
            if signal.sigwait(signals) == signal.SIGTERM:
                guest.terminate()
                return guest.wait()
        if guest.returncode != REBOOT:
            return guest.returncode


if __name__ == "__main__":
    sys.exit(main())
