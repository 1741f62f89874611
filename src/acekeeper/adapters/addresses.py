"""Which addresses this host has, tried by binding them: nothing listens there, nothing is sent."""

import errno
import socket


def present(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """An address that cannot be tried counts as present."""
    return tuple(address for address in wanted if _is_here(address))


def _is_here(address: str) -> bool:
    try:
        with socket.socket() as tried:
            tried.bind((address, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True
