"""A lab of bare Debian 13 hosts: systemd as PID 1, own network, SSH. Needs root on Debian 12 or 13.

    python -m tests.host.lab up 1 | ssh 1 COMMAND | reboot 1 | down 1 | clean

A test run takes a lab of its own: `with Lab.take() as lab: host = lab.up(1)`.
"""

from .errors import CommandError, LabError, UnavailableError
from .host import Host
from .lab import Lab, heal
from .namespace import Namespace

__all__ = ["CommandError", "Host", "Lab", "LabError", "Namespace", "UnavailableError", "heal"]
