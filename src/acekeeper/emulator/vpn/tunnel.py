"""The tunnel that is emulated: whether it is up, which ports are forwarded, what went through."""

import os
import threading
import time

from ..faults import Faults
from ..process import say
from .options import Flags

_EVERY_S = 0.25
_BYTES_A_LOOK = 4_000  # each way: what keeps a tunnel alive, and some engines
_OTHERS = 1000  # ports that a flapping one goes through
_NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo\
 colls carrier compressed
    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0\
     0       0          0
  tun0: {received:7d} {received_packets:7d}    0    0    0     0          0         0 {sent:8d}\
 {sent_packets:7d}    0    0    0     0       0          0
"""


class Tunnel:
    def __init__(self, flags: Flags, faults: Faults) -> None:
        self.flags = flags
        self._faults = faults
        self._from = time.monotonic() + flags.start_delay
        self._received = 0
        self._sent = 0
        self._why = ""  # the counters could not be written

    @property
    def is_up(self) -> bool:
        return time.monotonic() >= self._from and self._faults.of("lost") is None

    @property
    def ports(self) -> list[int]:
        if not self.is_up:
            return []
        if (fault := self._faults.of("port")) is not None:
            return [int(fault.amount)] if fault.amount else []
        if self.flags.forwarded_port is None:
            return []
        if (fault := self._faults.of("port_flaps")) is not None:
            changes = int((time.time() - fault.began_at) / fault.amount)
            return [1024 + (self.flags.forwarded_port + changes) % _OTHERS]
        more = [self.flags.forwarded_port + 1] if self._faults.of("several_ports") else []
        return [self.flags.forwarded_port, *more]

    def count(self) -> None:
        """Begins to write the counters, if anybody wants them."""
        if self.flags.net_dev:
            self._try_to_write()
            threading.Thread(target=self._go_on, daemon=True).start()

    def _go_on(self) -> None:
        while True:
            time.sleep(_EVERY_S)
            if self.is_up:
                self._sent += _BYTES_A_LOOK
                self._received += 0 if self._faults.of("dead") else _BYTES_A_LOOK
            self._try_to_write()

    def _try_to_write(self) -> None:
        why = ""
        try:
            self._write()
        except OSError as error:
            why = f"cannot write {self.flags.net_dev}: {error.strerror}"
        if why and why != self._why:
            say(why)
        self._why = why

    def _write(self) -> None:
        """In one piece: who reads it sees all of it."""
        text = _NET_DEV.format(
            received=self._received,
            received_packets=self._received // 1000,
            sent=self._sent,
            sent_packets=self._sent // 1000,
        )
        fresh = f"{self.flags.net_dev}.new"
        with open(fresh, "w") as file:  # noqa: PTH123 (pathlib is heavy)
            file.write(text)
        os.replace(fresh, self.flags.net_dev)  # noqa: PTH105
