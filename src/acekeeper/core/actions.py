"""What must be done. `plan` names it, the loop does it and tells `apply` that it was taken."""

from enum import StrEnum

from msgspec import Struct

from acekeeper.core.build import Rollout
from acekeeper.core.doubt import Content
from acekeeper.core.fleet.actions import FleetAction
from acekeeper.core.gateway.actions import GatewayAction
from acekeeper.core.names import OfOneStart, Slot


class Code(StrEnum):
    """Why a provisioning request is refused, in the client's words."""

    CIRCUIT_BREAKER = "circuit_breaker"
    MAX_CAPACITY = "max_capacity"
    VPN_DISCONNECTED = "vpn_disconnected"
    GENERAL_ERROR = "general_error"


class Refusal(Struct, frozen=True):
    """`eta` in whole seconds, None when nobody can tell. `conflict`: the port asked for is not
    to be had, so that asking again the same way is pointless."""

    code: Code
    message: str
    eta: int | None
    should_wait: bool = False
    conflict: bool = False


class Start(Struct, frozen=True):
    """Starts an engine, for a request or (None) to keep one ready. `instead`: of an outdated one,
    which is still there."""

    slot: Slot
    request: str | None = None
    instead: bool = False


class Grant(Struct, frozen=True):
    """Promises a running or starting engine to a request."""

    request: str
    slot: Slot


class Answer(Struct, frozen=True):
    request: str


class Refuse(Struct, frozen=True):
    request: str
    refusal: Refusal


class Drain(OfOneStart, frozen=True):
    reason: str


class TakeBack(OfOneStart, frozen=True):
    """Ends a drain that only scales down: a viewer needs the engine."""


class Stop(OfOneStart, frozen=True):
    """`reason` in one word; `why` says more where the word does not say it all."""

    reason: str
    why: str = ""


class Ask(OfOneStart, frozen=True):
    """Asks an engine whether it is alive."""


class AskStreams(OfOneStart, frozen=True):
    """Asks an engine about its streams."""


class Try(OfOneStart, frozen=True):
    """Tries whether an engine that nobody uses plays."""

    content: Content


class GiveWay(OfOneStart, frozen=True):
    """Breaks off a try: a viewer came."""


class Settle(OfOneStart, frozen=True):
    """An engine outlived its first seconds: its start was a success."""


class Turn(Struct, frozen=True):
    """The replacement of outdated engines begins, is stopped, goes on or (None) is over."""

    rollout: Rollout | None


class Check(Struct, frozen=True):
    """Looks again for what starts need and was not there."""


class TrustPort(Struct, frozen=True):
    """The port that a VPN's provider forwards has been as it is for a while."""

    vpn: str
    incarnation: str
    port: int


class TrustNetwork(Struct, frozen=True):
    """The way out of the host has been as it is for a while."""


Action = (
    Start
    | Grant
    | Answer
    | Refuse
    | Drain
    | TakeBack
    | Stop
    | Ask
    | AskStreams
    | Try
    | GiveWay
    | Settle
    | Turn
    | Check
    | TrustNetwork
    | TrustPort
    | FleetAction
    | GatewayAction
)
