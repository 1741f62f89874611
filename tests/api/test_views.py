"""What is kept of what was encoded."""

import tracemalloc

from acekeeper.api.views import Views
from acekeeper.core.apply import apply
from acekeeper.core.facts import StreamEnded, TimePassed
from acekeeper.core.model import Now, State

from ..core.world import rules, started


def test_memory_stays_flat_over_thousands_of_streams() -> None:
    few = rules(keep_ended=10)
    state = State()
    views = Views(state, few)
    now = Now(1_700_000_000.0, 1000.0)

    def play(first: int, last: int) -> int:
        nonlocal now
        for n in range(first, last):
            name = f"stream-{n}"
            apply(state, few, started(name), now)
            assert name.encode() in views.streams("started", None, 1000, now)
            apply(state, few, StreamEnded(name), now)
            now = now.after(60)
            apply(state, few, TimePassed(), now)
        views.engines()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early = play(0, 200)
        late = play(200, 2200)
    finally:
        tracemalloc.stop()
    assert late - early < 100_000  # a stream takes more than a hundred bytes encoded


def test_a_stream_is_encoded_once_and_again_when_it_changes() -> None:
    state = State()
    views = Views(state, rules())
    now = Now(1_700_000_000.0, 1000.0)
    for n in range(50):
        apply(state, rules(), started(f"s{n}"), now)
    streams = list(state.streams.values())
    before = [views.stream(stream) for stream in streams]
    assert all(views.stream(s) is body for s, body in zip(streams, before, strict=True))
    apply(state, rules(), StreamEnded("s0"), now)
    assert b'"status":"ended"' in views.stream(state.streams["s0"])
