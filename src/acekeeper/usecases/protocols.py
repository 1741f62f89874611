"""What the usecases need from outside. Adapters fit these without knowing them."""

from asyncio import Future
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol

from acekeeper.core.changes import Changes
from acekeeper.core.doubt import Content
from acekeeper.core.facts import EnginesListed, EngineStarted, Fact, Verdict, VpnAnswered
from acekeeper.core.fleet.facts import FleetFact
from acekeeper.core.fleet.model import Digest, Position, SharedEngine
from acekeeper.core.gateway.model import Declined, Elsewhere, PlayAsk, Wanted
from acekeeper.core.inspection import Inspection, Logged
from acekeeper.core.model import Now, Opening, Sample
from acekeeper.core.names import Ports, Slot
from acekeeper.core.vpn import Behind
from acekeeper.core.way_out import WayOut

Clock = Callable[[], Now]

Connections = Callable[[Collection[int]], Mapping[int, frozenset[str]]]
"""A name for each connection to each of these ports of this host, but for our own. It blocks: not
to be called on the event loop."""

Addresses = Callable[[tuple[str, ...]], tuple[str, ...]]
"""Those of the addresses asked for that this host has."""


class Runtime(Protocol):
    """Whoever runs the engines. Raises RuntimeUnavailable when it cannot be reached."""

    async def open(self, tell: Callable[[Fact], None]) -> None:
        """Connects; from here `tell` gets every death, every start and end of a VPN, and every loss
        of the connection.

        The death of a start is told only after `start` or `list` has named it.
        """

    async def list(self) -> EnginesListed: ...

    async def start(self, slot: Slot, ports: Ports, behind: Behind | None = None) -> EngineStarted:
        """`behind`: the VPN that it joins, of that start of it alone. Raises PortTaken, or
        EngineFailed when it did not come up (StartTimedOut: in time); then nothing runs."""

    async def stop(self, slot: Slot, incarnation: str) -> None:
        """Asks for the end of this start, which is told as a death. Raises EngineFailed."""

    async def unheard(self) -> str:
        """Why something cannot be asked that starts do not need; empty when all can. What it can
        mend of that it has mended."""

    async def lacks(self) -> str:
        """What starts need and is not there, as far as can be told; empty when nothing."""

    def way_out(self) -> WayOut | None:
        """How this host gets out, of which engines take over a copy; None: they share it."""

    async def inspect(self, slot: Slot, container_id: str) -> Inspection:
        """Never raises for what it cannot find out: the answer says so."""

    async def logs(self, slot: Slot, container_id: str, tail: int) -> str | None:
        """The last lines of what the engine printed, a mebibyte at the most. None: there is no
        log of it."""

    async def close(self) -> None:
        """Engines go on."""


class EngineApi(Protocol):
    """The HTTP API of an engine; all raise NoAnswer."""

    async def status(self, slot: Slot, *, starting: bool = False) -> None:
        """`starting`: it is not yet expected to answer."""

    async def stat(self, slot: Slot, stat_url: str) -> Sample | None:
        """None: the engine does not know this session."""

    async def stop(self, slot: Slot, command_url: str) -> None:
        """Ends a session."""


class VpnApi(Protocol):
    """What a VPN says of itself."""

    async def ask(self, vpn: str, incarnation: str) -> VpnAnswered:
        """Raises NoAnswer."""


class TunnelCounters(Protocol):
    """Whoever runs the VPNs, as far as it sees what goes through them."""

    def traffic(self, vpn: str, incarnation: str) -> tuple[int, int] | None:
        """Bytes received and sent through the tunnel of this start of a VPN; None: there is none to
        be seen."""


class Bus(Protocol):
    """The message system of the fleet. What is sent while the connection is down is not sent."""

    @property
    def is_up(self) -> bool: ...

    async def run(
        self,
        told: Callable[[FleetFact], object],
        sync_asked: Callable[[str], object],
        play_asked: Callable[[str, PlayAsk], Awaitable[Elsewhere | Declined]],
        dropped: Callable[[str, str], object],
    ) -> None:
        """Connects, and again whenever the connection is lost, until it is cancelled; tells
        `LinkUp` and `LinkDown`. The others are called with the name of the host that speaks, on the
        event loop; `play_asked` never raises, and `Elsewhere.host` of its answer is not read."""

    def beat(self, at: Position, digest: Digest) -> None: ...

    def changed(
        self, at: Position, digest: Digest, up: Sequence[SharedEngine], gone: Sequence[str]
    ) -> None: ...

    def snapshot(
        self, host: str, at: Position, digest: Digest, engines: Sequence[SharedEngine]
    ) -> None: ...

    def sync(self, host: str) -> None:
        """Asks for a snapshot, which is told as SnapshotHeard."""

    async def play(self, host: str, ask: PlayAsk) -> Elsewhere | Declined:
        """Goes on when the connection is lost and comes back. Raises NoAnswer: UNREACHABLE if
        nobody is there, at once; TIMEOUT after `within`."""

    def drop(self, host: str, request: str) -> None: ...


class History(Protocol):
    """What is on disk; all raise StoreFailed when it cannot be read."""

    async def log(
        self, kind: str | None, since: float | None, limit: int, port: int | None = None
    ) -> Sequence[Logged]:
        """The newest first, of the engine on this port; `since` is wall time."""

    async def log_after(self, last: int, limit: int) -> Sequence[Logged]:
        """What came after the one with this id, the oldest first."""

    async def newest_id(self) -> int: ...

    async def samples(self, stream_id: str, since: float, limit: int) -> Sequence[Sample] | None:
        """Of this stream, the newest of them, the oldest first; None for an unknown one."""


class Player(Protocol):
    async def play(self, slot: Slot, content: Content) -> tuple[Verdict, str]:
        """Plays for a moment: what it found, and the engine's words. Raises NoAnswer when the
        engine hangs, EngineInUse when it must not be tried now. Cancelled, it leaves nothing."""


class Sessions(Protocol):
    """Those of the gateway's players, at their engines. Answers name `arrival`, the address of this
    host at which the player reaches it. All raise NoAnswer, and but for `stat` EngineRefused with
    what the engine says against the session, and EngineInUse if somebody else opened the content
    there meanwhile."""

    async def open(self, slot: Slot, wanted: Wanted, within: float) -> Opening: ...

    async def redirect(self, slot: Slot, opening: Opening, arrival: str, within: float) -> str:
        """The path and the query at that engine to which it sends a player for the picture."""

    async def list(self, slot: Slot, opening: Opening, arrival: str, within: float) -> bytes:
        """The list of an HLS session, as the engine wrote it."""

    async def stat(self, slot: Slot, opening: Opening, arrival: str) -> bytes:
        """The JSON of its answer."""


class Store(Protocol):
    @property
    def degraded(self) -> str:
        """What is wrong with it, empty when nothing is."""

    @property
    def waiting(self) -> int:
        """Rows, about so many, that are not on disk."""

    @property
    def is_alive(self) -> bool:
        """Whether it still works on what is written."""

    def write(self, changes: Changes) -> Future[None]:
        """Done when these changes and all before them are on disk; StoreFailed if they are not
        (they are kept and tried again)."""
