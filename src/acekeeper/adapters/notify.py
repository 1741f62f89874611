"""What systemd and this process tell each other: readiness, the watchdog, inherited sockets.

Without systemd nothing is said, nothing is fed and nothing is inherited.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, MutableMapping

from loguru import logger

from acekeeper.errors import BadSetting

_FIRST_INHERITED = 3
_SEND_WITHIN = 1.0
_FEEDS_A_PERIOD = 3  # one may come late without the watchdog biting


class Notifier:
    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = f"\0{self._address[1:]}"
        usec = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(usec) / 1e6 if usec.isdecimal() and ours else 0.0

    def ready(self) -> None:
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """One line, for `systemctl status`."""
        self._tell(f"STATUS={' '.join(text.split())}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    async def feed_watchdog(self, healthy: Callable[[], bool]) -> None:
        """Goes on until it is cancelled; returns at once where systemd watches nothing.

        An event loop that no longer turns does not feed, nor does one that turns without being
        `healthy`: systemd then ends the process and starts another.
        """
        if not self.watchdog_s:
            return
        was_healthy = True
        while True:
            is_healthy = healthy()
            if is_healthy:
                # Again soon: the event loop does not wait for a systemd that does not read.
                self._tell("WATCHDOG=1", within=0)
            elif was_healthy:
                logger.critical("watchdog_not_fed", kills_after_s=self.watchdog_s)
            was_healthy = is_healthy
            await asyncio.sleep(self.watchdog_s / _FEEDS_A_PERIOD)

    def _tell(self, message: str, within: float = _SEND_WITHIN) -> None:
        """A message that does not get through costs a log line: systemd's own limits (of a start,
        of the watchdog) do the rest."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.settimeout(within)
                manager.connect(self._address)
                manager.sendall(message.encode())
        except OSError as error:
            logger.error("systemd_not_told", message=message, why=str(error))


def inherited_sockets(
    environ: MutableMapping[str, str] = os.environ,
) -> dict[str, list[socket.socket]]:
    """The sockets systemd opened for us, by their `FileDescriptorName=`. To be called once: it
    takes them out of the environment, so that no child takes them for its own."""
    pid = environ.pop("LISTEN_PID", "")
    count = environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    sockets: dict[str, list[socket.socket]] = {}
    for index in range(int(count)):
        number = _FIRST_INHERITED + index
        try:
            os.set_inheritable(number, False)
            inherited = socket.socket(fileno=number)
        except OSError as error:
            raise BadSetting(
                f"Descriptor {number}, inherited from systemd, is no socket: {error.strerror}",
                "Only acekeeper.socket may pass descriptors to acekeeper.service",
            ) from None
        inherited.setblocking(False)
        # systemd's own name for one without a name.
        name = names[index] if index < len(names) and names[index] else "unknown"
        sockets.setdefault(name, []).append(inherited)
    return sockets
