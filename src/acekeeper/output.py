"""Standard output; what it does not take is told apart from any other failure."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from acekeeper.errors import OutputFailed


def tell_failures_apart() -> None:
    """From now on `print` ends in `OutputFailed`, or in a `BrokenPipeError` as before."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # not after `>&-`
        sys.stdout = _Output(
            sys.stdout.buffer,
            encoding=sys.stdout.encoding,
            errors=sys.stdout.errors,
            line_buffering=sys.stdout.line_buffering,
        )


def give_up() -> None:
    """What is left goes nowhere; Python would try once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Output(io.TextIOWrapper):
    def write(self, text: str, /) -> int:
        with _failing():
            return super().write(text)

    def flush(self) -> None:
        with _failing():
            super().flush()


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"standard output cannot be written: {error.strerror}") from None
