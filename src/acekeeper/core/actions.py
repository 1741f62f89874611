"""What must be done. `plan` names it, the loop does it and tells `apply` that it was taken."""

from dataclasses import dataclass
from enum import StrEnum

from acekeeper.core.doubt import Content
from acekeeper.core.gateway.actions import GatewayAction
from acekeeper.core.names import OfOneStart, Slot


class Code(StrEnum):
    """Why a provisioning request is refused, in the client's words."""

    CIRCUIT_BREAKER = "circuit_breaker"
    MAX_CAPACITY = "max_capacity"
    GENERAL_ERROR = "general_error"


@dataclass(frozen=True, slots=True)
class Refusal:
    """`eta` in whole seconds, None when nobody can tell. `conflict`: the port asked for is not
    to be had, so that asking again the same way is pointless."""

    code: Code
    message: str
    eta: int | None
    should_wait: bool = False
    conflict: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """Starts an engine, for a request or (None) to keep one ready."""

    slot: Slot
    request: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """Promises a running or starting engine to a request."""

    request: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class Answer:
    request: str


@dataclass(frozen=True, slots=True)
class Refuse:
    request: str
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Drain(OfOneStart):
    reason: str


@dataclass(frozen=True, slots=True)
class TakeBack(OfOneStart):
    """Ends a drain that only scales down: a viewer needs the engine."""


@dataclass(frozen=True, slots=True)
class Stop(OfOneStart):
    """`reason` in one word; `why` says more where the word does not say it all."""

    reason: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Ask(OfOneStart):
    """Asks an engine whether it is alive."""


@dataclass(frozen=True, slots=True)
class Look(OfOneStart):
    """Asks an engine about its streams."""


@dataclass(frozen=True, slots=True)
class Try(OfOneStart):
    """Tries whether an engine that nobody uses plays."""

    content: Content


@dataclass(frozen=True, slots=True)
class GiveWay(OfOneStart):
    """Breaks off a try: a viewer came."""


@dataclass(frozen=True, slots=True)
class Settle(OfOneStart):
    """An engine outlived its first seconds: its start was a success."""


Action = (
    Start
    | Grant
    | Answer
    | Refuse
    | Drain
    | TakeBack
    | Stop
    | Ask
    | Look
    | Try
    | GiveWay
    | Settle
    | GatewayAction
)
