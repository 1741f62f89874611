"""How a command ends that has something to put back first."""

import signal


def in_order() -> None:
    """SIGTERM, and the loss of the terminal, end it as Ctrl-C does."""

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for number in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, end)
