"""Threads that may hang with their disk: nobody waits for them longer than is said."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """TimeoutError when it takes longer; it goes on all the same."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="within", daemon=True).start()
    return done.result(seconds)


@contextmanager
def ending_within(seconds: float) -> Iterator[None]:
    """After this the process ends so soon. Python itself would wait for every thread of a pool."""
    status = 1
    try:
        yield
        status = 0
    finally:
        timer = threading.Timer(seconds, os._exit, [status])
        timer.daemon = True
        timer.start()
