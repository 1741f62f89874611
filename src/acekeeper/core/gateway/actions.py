"""What is done for players of the gateway."""

from msgspec import Struct

from acekeeper.core.gateway.model import Elsewhere, Hold, NotPlayed
from acekeeper.core.names import OfOneStart


class Open(OfOneStart, frozen=True):
    """Asks an engine to open the content of a play."""

    request: str


class Serve(Struct, frozen=True):
    """Gives a player its session."""

    request: str
    stream: str


class SendThere(Struct, frozen=True):
    """Gives a player the session that another host opened for it."""

    request: str
    session: Elsewhere


class Fail(Struct, frozen=True):
    """`words`: an engine's, or ours. `eta`: whole seconds after which it may go better."""

    request: str
    why: NotPlayed
    words: str
    eta: int = 0


class Supersede(Struct, frozen=True):
    """Ends a session that nobody reads, for a `request` or (None) since its player went on."""

    stream: str
    request: str | None = None


class StopSession(OfOneStart, frozen=True):
    """Has an engine stop what is held there."""

    hold: Hold


class SeeReaders(Struct, frozen=True):
    """Looks now who is connected to the engines."""


GatewayAction = Open | Serve | SendThere | Fail | Supersede | StopSession | SeeReaders
