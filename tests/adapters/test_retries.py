"""How a failed call is repeated."""

import asyncio
import random
from typing import Any

import pytest
from loguru import logger
from tenacity import RetryCallState

from acekeeper.adapters import retries
from acekeeper.adapters.retries import Retries, pauses
from acekeeper.errors import EngineFailed, Failure, NoAnswer, RuntimeUnavailable

from .policies import Failed

LIMIT_S = 10.0
NEVER = 3600.0  # a pause no test waits for


class Call:
    """Fails with each of these in turn, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.left: list[float] = []  # seconds that each attempt was given

    async def __call__(self, left: float) -> str:
        self.left.append(left)
        if self.errors:
            raise self.errors.pop(0)
        return "answered"


def gone(failure: Failure = Failure.BROKEN) -> RuntimeUnavailable:
    return RuntimeUnavailable("gone", failure=failure)


async def test_what_got_no_answer_is_repeated_and_every_failure_counts() -> None:
    failed = Failed()
    call = Call(gone(Failure.TIMEOUT), gone(Failure.UNREACHABLE), gone(Failure.BROKEN))
    assert await failed.retries(3)("systemd", call, LIMIT_S) == "answered"
    assert failed.calls == [("systemd", f) for f in ("timeout", "unreachable", "broken")]


@pytest.mark.parametrize("most", [0, 1, 5])
async def test_max_retries_is_how_often(most: int) -> None:
    failed, call = Failed(), Call(*(gone() for _ in range(100)))
    with pytest.raises(RuntimeUnavailable, match="gone"):
        await failed.retries(most)("podman", call, LIMIT_S)
    assert len(call.left) == len(failed.calls) == most + 1


@pytest.mark.parametrize("error", [gone(Failure.ERROR), EngineFailed("refused")])
async def test_an_answer_is_not_asked_for_again_whatever_it_says(error: Exception) -> None:
    failed, call = Failed(), Call(error)
    with pytest.raises(type(error)):
        await failed.retries(5)("systemd", call, LIMIT_S)
    assert failed.calls == [("systemd", Failure.ERROR)]


async def test_a_defect_is_neither_repeated_nor_counted() -> None:
    failed, call = Failed(), Call(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await failed.retries(5)("systemd", call, LIMIT_S)
    assert failed.calls == []


async def test_a_call_may_be_repeated_for_fewer_failures() -> None:
    call = Call(NoAnswer("hangs", failure=Failure.TIMEOUT))
    with pytest.raises(NoAnswer):
        await Failed().retries(5)("engine", call, LIMIT_S, again=frozenset({Failure.BROKEN}))
    assert len(call.left) == 1


async def test_nothing_is_repeated_for_which_no_time_is_left() -> None:
    """Nor is the pause before it waited for."""
    call = Call(gone())
    with pytest.raises(RuntimeUnavailable, match="gone"):
        await Failed().retries(5, NEVER)("systemd", call, within=NEVER / 2)
    assert len(call.left) == 1


async def test_what_the_first_attempt_took_counts_too() -> None:
    attempts = 0

    async def slow(_: float) -> None:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(0.02)
        raise gone()

    with pytest.raises(RuntimeUnavailable):
        await Failed().retries(5)("systemd", slow, within=0.01)
    assert attempts == 1


async def test_a_call_that_succeeds_does_not_pay_for_what_repeats_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retries, "AsyncRetrying", None)
    assert await Failed().retries(5)("systemd", Call(), LIMIT_S) == "answered"


async def test_an_attempt_is_told_how_long_it_may_take() -> None:
    call = Call(gone(), gone())
    await Failed().retries(5)("systemd", call, within=7)
    first, second, third = call.left
    assert 7 >= first > second > third > 0


async def test_the_caller_may_give_up_at_any_time() -> None:
    failed, call = Failed(), Call(gone())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await failed.retries(5, NEVER)("systemd", call)
    assert len(call.left) == 1


def test_pauses_double_and_have_some_chance_in_them() -> None:
    wait = pauses(2.0)
    lowest, highest = [], []
    for attempt in range(1, 6):
        state: Any = RetryCallState(None, None, (), {})  # type: ignore[arg-type]
        state.attempt_number = attempt
        seen = [wait(state) for _ in range(200)]
        lowest.append(min(seen))
        highest.append(max(seen))
    for low, high, doubled in zip(lowest, highest, (2, 4, 8, 16, 32), strict=True):
        assert doubled <= low < doubled + 1 < high <= doubled + 2


async def test_the_backoff_is_the_first_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a call makes it, each one logged."""
    logged: list[Any] = []
    number = logger.add(lambda message: logged.append(message.record))
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await Retries(3, 2.0, lambda *_: None)("podman", Call(gone(), gone(), gone()), within=60)
    logger.remove(number)
    assert slept == [3, 5, 9]
    said = [r["extra"] for r in logged if r["message"] == "call_repeated"]
    assert [(s["source"], s["attempt"], s["pause"], s["why"]) for s in said] == [
        ("podman", n, pause, "gone") for n, pause in ((1, 3), (2, 5), (3, 9))
    ]
