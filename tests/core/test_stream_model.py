"""Streams against a model of their own, made from the wire contract alone."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from acekeeper.core.facts import TimePassed

from .world import World, pool, rules, slot, started

HOUR = 3600.0
STILL = rules(min_replicas=0, auto_delete=False, unmanaged_stream_ttl=2 * HOUR, keep_ended=4)


@dataclass(slots=True)
class Model:
    """Ids and moments, no engines: what a client that knows all its events would expect."""

    started: set[str] = field(default_factory=set)
    ended: dict[str, float] = field(default_factory=dict)

    def start(self, name: str) -> None:
        if name not in self.ended:
            self.started.add(name)

    def end(self, name: str, at: float) -> None:
        self.started.discard(name)
        self.ended.setdefault(name, at)

    def forget(self, at: float) -> None:
        """Ends are known for an hour; whether longer is nobody's business."""
        self.ended = {name: then for name, then in self.ended.items() if at - then < HOUR}


names = st.integers(0, 7).map(lambda n: f"s{n}")
events = st.tuples(
    st.sampled_from(["start", "start", "end"]),
    names,
    st.sampled_from([0, 1, 2, -1]),
    st.sampled_from([0.0, 0.0, 1.0, 100.0]),
)


def tell(world: World, kind: str, name: str, where: int) -> None:
    if kind == "end":
        world.leave(name)
    elif where < 0:
        world.tell(started(name, addresses=(("elsewhere.example", 6878),)))
    else:
        world.play(slot(where), name)


@given(st.lists(events, max_size=40))
def test_within_an_hour_any_order_with_any_repeats_gives_what_the_contract_says(
    events: list[tuple[str, str, int, float]],
) -> None:
    world, model = pool(3, STILL), Model()
    for kind, name, where, pause in events:
        if world.time + pause >= HOUR:
            break
        world.run(pause)
        world.tell(TimePassed())
        tell(world, kind, name, where)
        model.start(name) if kind == "start" else model.end(name, world.time)
        states = world.state.streams.values()
        assert {s.id for s in states if s.ended is None} == model.started
        known = {s.id for s in states if s.ended is not None} | set(world.state.early_ends)
        assert known == set(model.ended)


@given(st.lists(events, max_size=40), st.sampled_from([HOUR, HOUR + 50]))
def test_after_an_hour_everything_but_what_plays_is_bounded(
    events: list[tuple[str, str, int, float]], later: float
) -> None:
    world, model = pool(3, STILL), Model()
    for kind, name, where, pause in events:
        world.run(pause)
        tell(world, kind, name, where)
        model.start(name) if kind == "start" else model.end(name, world.time)
    world.run(later)
    world.tell(TimePassed())
    assert world.state.early_ends == {}
    assert len(world.state.ended) <= STILL.keep_ended


@given(st.permutations(["start", "start", "end", "end", "start", "end"]))
def test_in_whatever_order_its_events_come_a_stream_that_ended_is_over(order: list[str]) -> None:
    world = pool(1, STILL)
    for kind in order:
        tell(world, kind, "s", 0)
    assert world.state.streams["s"].ended is not None
    assert world.state.playing == {}
    assert world.state.is_free(world.engine(0), world.rules)
