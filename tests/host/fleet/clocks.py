"""The clock of one process on a host is wrong: guests of the lab have the machine's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..deploying import as_user
from ..lab import Host

# The monotonic clock is right all the same, as it is where somebody sets a host's clock.
DROP_IN = """
[Service]
Environment=LD_PRELOAD={library} FAKETIME={off} FAKETIME_DONT_FAKE_MONOTONIC=1
"""
PLACE = "/run/user/$(id -u acekeeper)/systemd/user/acekeeper.service.d"
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends faketime"


@contextmanager
def clock_off(host: Host, off: str) -> Iterator[None]:
    """acekeeper's, by `off`, as `-1h`."""
    host.ssh(f"apt-get -qq update && {INSTALL}", timeout_s=300)
    library = host.ssh("dpkg -L libfaketime | grep MT.so").stdout.strip()
    text = DROP_IN.format(library=library, off=off)
    as_user(host, f"mkdir -p {PLACE}")
    host.ssh(f"cat > {PLACE}/clock.conf", stdin=text)
    _restart(host)
    try:
        yield
    finally:
        host.ssh(f"rm -r {PLACE}")
        _restart(host)


def _restart(host: Host) -> None:
    as_user(host, "systemctl --user daemon-reload")
    as_user(host, "systemctl --user restart acekeeper.service")
