"""What can go wrong, as one family.

AcekeeperError
├── BadSetting          a value the operator wrote cannot be used; the service does not start
├── BadTrace            a trace of viewers cannot be read
├── BadBackup           an archive cannot be restored
├── StoreFailed         the database did not take a write
├── OutsideFailed       a call to the outside did not succeed; `failure` says how
│   ├── RuntimeUnavailable  whoever runs the engines (systemd, say) cannot be reached
│   └── NoAnswer            an engine, a VPN or a host did not answer, or not what these answer
├── EngineFailed        an engine could not be started or stopped
│   ├── PortTaken       because somebody else holds one of its ports
│   │   └── AddressGone     because an address it was to have has left this host
│   └── StartTimedOut   because it took too long
├── EngineInUse         somebody else uses an engine that we wanted to try
├── EngineRefused       an engine says that it cannot play a content
├── CallFailed          our own command could not reach the service, or was refused
└── OutputFailed        standard output did not take what was printed
"""

from enum import StrEnum


class Failure(StrEnum):
    """How a call failed; a label of metrics."""

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"  # nobody was there to be asked
    BROKEN = "broken"  # the connection broke before the answer was whole
    ERROR = "error"  # there was an answer, but none that helps


class AcekeeperError(Exception):
    """`message` says what is wrong, `hint` what to do about it (may be empty)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class BadSetting(AcekeeperError):
    pass


class BadTrace(AcekeeperError):
    pass


class BadBackup(AcekeeperError):
    pass


class StoreFailed(AcekeeperError):
    pass


class OutsideFailed(AcekeeperError):
    def __init__(self, message: str, hint: str = "", failure: Failure = Failure.ERROR) -> None:
        super().__init__(message, hint)
        self.failure = failure


class RuntimeUnavailable(OutsideFailed):
    pass


class NoAnswer(OutsideFailed):
    pass


class EngineFailed(AcekeeperError):
    """`cause` in one or two words, of a start that failed."""

    cause = "other"

    def __init__(self, message: str, hint: str = "", cause: str = "") -> None:
        super().__init__(message, hint)
        self.cause = cause or self.cause


class PortTaken(EngineFailed):
    cause = "port_taken"


class AddressGone(PortTaken):
    cause = "address_gone"


class StartTimedOut(EngineFailed):
    cause = "runtime_timeout"


class EngineInUse(AcekeeperError):
    pass


class EngineRefused(AcekeeperError):
    """`message`: in the engine's words."""


class CallFailed(AcekeeperError):
    pass


class OutputFailed(AcekeeperError):
    pass
