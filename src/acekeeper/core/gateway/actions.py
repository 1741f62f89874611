"""What is done for players of the gateway."""

from dataclasses import dataclass

from acekeeper.core.gateway.model import Hold, NotPlayed
from acekeeper.core.names import Slot


@dataclass(frozen=True, slots=True)
class Open:
    """Asks an engine to open the content of a play."""

    request: str
    slot: Slot
    incarnation: str


@dataclass(frozen=True, slots=True)
class Serve:
    """Gives a player its session."""

    request: str
    stream: str


@dataclass(frozen=True, slots=True)
class Fail:
    """`words`: an engine's, or ours. `eta`: whole seconds after which it may go better."""

    request: str
    why: NotPlayed
    words: str
    eta: int = 0


@dataclass(frozen=True, slots=True)
class Supersede:
    """Ends a session that nobody reads, for a `request` or (None) since its player went on."""

    stream: str
    request: str | None = None


@dataclass(frozen=True, slots=True)
class StopSession:
    """Has an engine stop what is held there."""

    slot: Slot
    incarnation: str
    hold: Hold


@dataclass(frozen=True, slots=True)
class SeeReaders:
    """Looks now who is connected to the engines."""


GatewayAction = Open | Serve | Fail | Supersede | StopSession | SeeReaders
