"""What is kept of what was encoded."""

import tracemalloc
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from acekeeper.api.views import Views
from acekeeper.core.apply import apply
from acekeeper.core.doubt import Content, Doubt, Hunger
from acekeeper.core.facts import StreamEnded, TimePassed
from acekeeper.core.gateway.facts import StopAsked
from acekeeper.core.gateway.model import Hold
from acekeeper.core.model import Engine, Health, Now, Phase, Stopping
from acekeeper.core.state import State

from ..core import growing
from ..core.gateway.players import players
from ..core.world import rules, slot, started

NOW = Now(1_700_000_000.0, 1000.0)


async def test_memory_stays_flat_over_thousands_of_streams() -> None:
    few = rules(keep_ended=10)
    state = State()
    views = Views(state, few)
    now = NOW

    async def play(first: int, last: int) -> int:
        nonlocal now
        for n in range(first, last):
            name = f"stream-{n}"
            apply(state, few, started(name), now)
            assert name.encode() in await views.streams("started", None, 1000, now)
            apply(state, few, StreamEnded(name), now)
            now = now.after(60)
            apply(state, few, TimePassed(), now)
        views.engines()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early = await play(0, 200)
        late = await play(200, 2200)
    finally:
        tracemalloc.stop()
    assert late - early < 100_000  # a stream takes more than a hundred bytes encoded


def test_a_stream_is_encoded_once_and_again_when_it_changes() -> None:
    state = State()
    views = Views(state, rules())
    now = NOW
    for n in range(50):
        apply(state, rules(), started(f"s{n}"), now)
    streams = list(state.streams.values())
    before = [views.stream(stream) for stream in streams]
    assert all(views.stream(s) is body for s, body in zip(streams, before, strict=True))
    apply(state, rules(), StreamEnded("s0"), now)
    assert b'"status":"ended"' in views.stream(state.streams["s0"])


def engine(n: int, **more: Any) -> Engine:
    values = {"incarnation": f"start-{n}", "container_id": f"id-{n}", "ready": NOW, **more}
    return Engine(slot=slot(n), created=NOW, health=Health.HEALTHY, **values)


def test_an_engine_is_encoded_once_and_again_when_it_or_what_runs_on_it_changes() -> None:
    state = State()
    views = Views(state, rules())
    for n in range(3):
        state.put(engine(n))
    whole, tag = views.engines()
    assert views.engines()[0] is whole
    first = state.engines[slot(0)]
    body = views.engine(first)
    assert views.engine(first) is body
    state.put(engine(0, labels={"new": "label"}))
    assert b'"new":"label"' in views.engine(state.engines[slot(0)])
    assert b'"new":"label"' in views.engines()[0]
    assert views.engines()[1] != tag
    apply(state, rules(), started("one", slot(0)), NOW)
    apply(state, rules(), started("two", slot(0)), NOW)  # in one instant: the engine is the same
    assert b'"streams":["one","two"]' in views.engines()[0]
    same = state.engines[slot(0)]
    views.engine(same)
    apply(state, rules(), StreamEnded("two"), NOW)
    assert state.engines[slot(0)] is same
    assert b'"streams":["one"]' in views.engine(same)


def ids(body: bytes) -> list[str]:
    return [stream["id"] for stream in msgspec.json.decode(body)]


async def test_the_newest_ended_streams_of_one_engine_are_told_from_those_of_others() -> None:
    state = State()
    views = Views(state, rules())
    for n in range(2):
        state.put(engine(n))
    for name in ("a0", "a1", "b0", "b1", "a0 plays"):
        apply(state, rules(), started(name, slot(int(name[1]))), NOW)
    for name in ("a0", "b0", "a1", "b1"):
        apply(state, rules(), StreamEnded(name), NOW)
    assert ids(await views.streams("ended", "id-0", 10, NOW)) == ["b0", "a0"]
    assert ids(await views.streams("ended", "id-1", 1, NOW)) == ["b1"]
    assert ids(await views.streams("all", "id-0", 1, NOW)) == ["a0 plays", "b0"]
    assert ids(await views.streams("started", "id-0", 10, NOW)) == ["a0 plays"]


async def test_an_empty_container_id_is_that_of_streams_on_no_engine_of_ours() -> None:
    state = State()
    views = Views(state, rules())
    state.put(engine(0))
    state.put(engine(1, container_id=""))
    apply(state, rules(), started("ours", slot(0)), NOW)
    apply(state, rules(), started("elsewhere"), NOW)
    assert ids(await views.streams("started", "", 10, NOW)) == ["elsewhere"]
    assert ids(await views.streams("all", "", 10, NOW)) == ["elsewhere"]
    assert [e["port"] for e in msgspec.json.decode(views.engines()[0])] == [slot(0).port]
    assert len(msgspec.json.decode(views.all_engines())) == 2


async def test_a_claim_answers_the_capacity_question_until_it_lapses() -> None:
    state = State()
    views = Views(state, rules())
    state.put(engine(0, claim="r", handed=NOW))
    state.put(engine(1, claim="unanswered"))
    assert ids(await views.streams("started", "id-0", 10, NOW.after(59))) == ["claim|r"]
    assert ids(await views.streams("started", "id-0", 10, NOW.after(60))) == []
    assert ids(await views.streams("started", "id-1", 10, NOW)) == ["claim|unanswered"]
    assert ids(await views.streams("all", "id-0", 10, NOW)) == []


async def test_a_doubted_engine_looks_full_whatever_the_limit() -> None:
    two = rules(max_streams_per_engine=2)
    doubted = engine(0, against=Doubt(Content("infohash", "c" * 40), NOW.mono, "timeout"))
    state = State()
    state.put(doubted)
    views = Views(state, two)

    async def listed(container_id: str) -> list[Any]:
        body = await views.streams("started", container_id, 10, NOW)
        found: list[Any] = msgspec.json.decode(body)
        return found

    assert [(s["id"], s["key"]) for s in await listed("id-0")] == [
        ("claim|try-0", ""),
        ("claim|try-1", ""),
    ]
    apply(state, two, started("s", doubted.slot), NOW)
    assert [s["id"] for s in await listed("id-0")] == ["s", "claim|try-1"]
    state.put(replace(state.engines[doubted.slot], against=None))
    assert [s["id"] for s in await listed("id-0")] == ["s"]
    assert msgspec.json.decode(await views.streams("started", None, 10, NOW)) == await listed(
        "id-0"
    )


async def test_what_the_gateway_opens_or_stops_answers_the_capacity_question() -> None:
    world = players(1)
    views = Views(world.state, world.rules)
    engine_id = world.engine(0).container_id

    async def listed(status: str = "started") -> list[Any]:
        body = await views.streams(status, engine_id, 10, world.now)
        found: list[Any] = msgspec.json.decode(body)
        return found

    world.ask("a", 1)
    assert [(s["id"], s["via"], s["status"]) for s in await listed()] == [
        ("claim|hold-0", "gateway", "started")
    ]
    assert await listed("all") == []
    world.run(0.5)
    played = world.served["a"]
    assert [s["id"] for s in await listed()] == [played.id]
    world.tell(StopAsked(played.id))
    assert [s["id"] for s in await listed()] == ["claim|hold-0"]
    world.run(0.5)
    assert await listed() == []


def test_a_stream_says_who_told_of_it_and_who_plays_it() -> None:
    world = players(2)
    views = Views(world.state, world.rules)
    world.ask("a", 1, player="192.0.2.7")
    world.run(0.5)
    world.play(slot(1), "told")
    ours = msgspec.json.decode(views.stream(world.served["a"]))
    told = msgspec.json.decode(views.stream(world.state.streams["told"]))
    assert (ours["via"], ours["player"]) == ("gateway", "192.0.2.7")
    assert (told["via"], told["player"]) == ("event", None)


def test_doubts_and_starvation_are_shown() -> None:
    doubted = engine(0, against=Doubt(Content("infohash", "c" * 40), NOW.mono, "timeout"))
    hungry, starving = engine(1, hunger=Hunger(0.0)), engine(2, hunger=Hunger(0.0, told=True))
    views = Views(State(), rules())
    shown = [msgspec.json.decode(views.engine(e)) for e in (doubted, hungry, starving)]
    assert [e["playback_doubted"] for e in shown] == [True, False, False]
    assert [e["starving"] for e in shown] == [False, False, True]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.booleans()), max_size=40))
def test_list_and_totals_are_as_those_that_are_made_now(
    deeds: list[tuple[int, int, bool]],
) -> None:
    state = State()
    views = Views(state, rules())

    def are_true() -> bool:
        engines, (totals, capacity) = state.engines.values(), views.totals()
        assert totals.running == sum(e.phase is Phase.RUNNING for e in engines)
        assert totals.healthy == sum(e.listed for e in engines)
        assert totals.unhealthy == sum(e.health is Health.UNHEALTHY for e in engines)
        assert totals.total == capacity.total == len(engines)
        assert capacity.used == sum(bool(e.claim) or not state.is_vacant(e) for e in engines)
        assert capacity.available == sum(state.is_free(e, rules()) for e in engines)
        return views.engines() == Views(state, rules()).engines()

    for n, (which, deed, is_read) in enumerate(deeds):
        assert not is_read or are_true()
        there = state.engines.get(slot(which))
        if there is None:
            state.put(engine(which, ready=NOW if deed else None))
        elif deed == 0:
            state.remove(there, NOW)
        elif deed == 1:
            ill = Health.UNHEALTHY if there.health is Health.HEALTHY else Health.HEALTHY
            state.put(replace(there, health=ill))
        elif deed == 2 and (playing := [*state.started_on(there.slot)]):
            state.put_stream(replace(playing[0], ended=NOW))
        elif deed == 3 and (playing := [*state.started_on(there.slot)]):
            state.remove_stream(playing[0])
        elif deed == 7:
            state.put(replace(there, claim=None if there.claim else "request", handed=NOW))
        elif deed == 8:
            content = Content("infohash", "c" * 40)
            held = () if state.holds.get(there.ref) else (Hold(content, since=NOW),)
            state.put_holds(there.ref, held)
        elif deed == 9:
            state.put(replace(there, stop=None if there.stop else Stopping("asked")))
        else:
            apply(state, rules(), started(f"s{n}", there.slot), NOW)
    assert are_true()


def test_of_the_list_only_what_changed_is_made_anew() -> None:
    costs = []
    for engines in (100, 1000):
        state = growing.pool(engines, 0)
        views = Views(state, rules())
        views.engines()
        state.put(replace(state.engines[slot(50)], used=NOW))
        costs.append(growing.lines(views.engines))
    assert costs[1] <= 2 * costs[0]
