"""What a command reads: a file, or standard input where it is called `-`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from acekeeper.errors import AcekeeperError, BadBackup, BadTrace


def name_of(file: str) -> str:
    return "standard input" if file == "-" else file


@contextmanager
def opened(file: str, hint: str = "") -> Iterator[BinaryIO]:
    """Errors of what is read get its name. `hint` is for a file that cannot be read."""
    try:
        if file == "-":
            if sys.stdin is None:
                raise AcekeeperError("there is no standard input", "Name a file")
            yield sys.stdin.buffer
        else:
            with Path(file).open("rb") as source:
                yield source
    except OSError as error:
        raise AcekeeperError(f"{name_of(file)} cannot be read: {error.strerror}", hint) from None
    except (BadBackup, BadTrace) as error:
        raise type(error)(f"{name_of(file)}: {error.message}", error.hint) from None
