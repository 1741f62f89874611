"""What the books hold against whoever promises engines."""

from datetime import UTC, datetime
from typing import Any

import pytest

from .books import Promises


def stream(began: float, ended: float | None, container_id: str = "x") -> dict[str, Any]:
    times = [None if t is None else datetime.fromtimestamp(t, UTC) for t in (began, ended)]
    began_at, ended_at = (t and t.isoformat().replace("+00:00", "Z") for t in times)
    return {"container_id": container_id, "started_at": began_at, "ended_at": ended_at}


@pytest.mark.parametrize(
    ("again", "streams", "is_broken"),
    [
        (1030, [], True),
        (1060, [], False),
        (1030, [stream(1005, 1010)], False),
        (1030, [stream(1005, None)], True),
        (1030, [stream(1005, 1031)], True),
        (1030, [stream(990, 1010)], True),
        (1030, [stream(1005, 1010, "y")], True),
    ],
)
def test_a_second_promise_needs_a_minute_or_a_stream_that_is_over(
    again: float, streams: list[dict[str, Any]], is_broken: bool
) -> None:
    promises = Promises()
    promises.made("x", 1000)
    promises.made("y", 1001)
    promises.made("x", again)
    assert bool(promises.broken(streams)) == is_broken
