import math

import pytest
from msgspec.structs import replace

from acekeeper.core.actions import Ask, Drain
from acekeeper.core.apply import apply
from acekeeper.core.facts import (
    ActionTaken,
    EngineAnswered,
    EngineSilent,
    EnginesSurveyed,
    StreamEnded,
    TimePassed,
)
from acekeeper.core.model import Engine, Health, Phase, Probe
from acekeeper.core.names import PortPlan
from acekeeper.core.plan import plan
from acekeeper.core.restore import restore

from .world import World, pool, rules, slot

STILL = rules(min_replicas=0, auto_delete=False)


def hang(world: World, *numbers: int) -> None:
    for n in numbers:
        world.outside[slot(n)].hung = True
    world.survey()


def test_the_first_answer_makes_an_engine_listed() -> None:
    world = World()
    world.connect()
    world.run(6.2)
    assert world.listed() == []
    world.run(0.5)
    assert world.listed() == [0]
    assert world.engine(0).free_since == world.engine(0).ready


def test_a_starting_engine_is_asked_four_times_a_second() -> None:
    world = World()
    world.script.ready_after = math.inf
    world.connect()
    world.run(5.3)
    asked = [a for a in world.taken if isinstance(a, Ask)]
    assert 18 <= len(asked) <= 21


def test_one_failed_probe_takes_it_off_the_list_even_with_a_stream() -> None:
    world = pool(2, STILL)
    world.play(slot(0))
    hang(world, 0)
    assert world.listed() == [1]
    assert world.engine(0).health is Health.UNKNOWN
    assert world.state.streams["s"].ended is None


def test_a_suspect_is_asked_again_and_comes_back_with_an_answer() -> None:
    world = pool(1, STILL)
    hang(world, 0)
    world.outside[slot(0)].hung = False
    world.run(1.1)
    assert world.listed() == [0]
    assert world.engine(0).probe.failures == 0
    assert world.engine(0).unlisted is None
    assert world.kinds() == ["engine_suspected", "engine_recovered"]


def test_three_failures_make_it_unhealthy() -> None:
    world = pool(1, STILL)
    hang(world, 0)
    world.run(11)
    assert world.engine(0).health is Health.UNKNOWN
    world.run(2)
    assert world.engine(0).health is Health.UNHEALTHY
    assert world.engine(0).probe.failures == 3


def test_an_unhealthy_engine_that_answers_is_healthy_and_not_replaced() -> None:
    world = pool(1, STILL)
    hang(world, 0)
    world.run(20)
    world.outside[slot(0)].hung = False
    world.run(6)
    assert world.listed() == [0]
    world.run(120)
    assert world.stops() == []


def test_silence_while_we_were_late_ourselves_is_excused() -> None:
    world = pool(1, STILL)
    world.tell(EngineSilent(*world.engine(0).ref, "timeout", excused=True))
    assert world.listed() == [0]
    assert world.engine(0).probe.failures == 0


def test_an_excused_silence_of_a_suspect_proves_nothing_either_way() -> None:
    world = pool(1, STILL)
    hang(world, 0)
    for _ in range(5):
        world.tell(EngineSilent(*world.engine(0).ref, "timeout", excused=True))
    assert world.engine(0).health is Health.UNKNOWN
    assert world.engine(0).probe.failures == 1


def test_it_is_replaced_after_its_grace_and_stopped_when_its_streams_are_hopeless() -> None:
    world = pool(1, rules(auto_delete=False))
    world.play(slot(0))
    world.run(20)
    hang(world, 0)
    world.run(13)
    assert world.engine(0).health is Health.UNHEALTHY
    world.run(58)
    assert world.engine(0).drain is None
    world.run(2)
    assert [s.slot for s in world.stops()] == [slot(0)]
    assert world.state.streams["s"].reason == "engine_stopped:unhealthy"
    assert world.state.breaker.failures == 0


def test_an_unhealthy_engine_whose_stream_still_moves_is_left_alone() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    for _ in range(3):
        world.tell(EngineSilent(*world.engine(0).ref, "timeout"))
    assert world.engine(0).health is Health.UNHEALTHY
    world.outside[slot(0)].answers_from = math.inf  # get_status hangs, playback goes on
    world.run(300)
    assert world.engine(0).drain is not None
    assert world.stops() == []
    world.leave("s")
    assert len(world.stops()) == 1


def test_a_quarter_at_the_most_is_replaced_per_cooldown() -> None:
    world = pool(8, rules(min_replicas=0, auto_delete=False, unhealthy_grace_period=10))
    hang(world, *range(8))
    world.run(30)
    drained = [a for a in world.taken if isinstance(a, Drain)]
    assert len(drained) == 2
    world.run(60)
    drained = [a for a in world.taken if isinstance(a, Drain)]
    assert len(drained) == 3  # six are left: a quarter of them is one


def test_of_a_few_engines_one_is_replaced_per_cooldown() -> None:
    world = pool(2, rules(min_replicas=0, auto_delete=False, unhealthy_grace_period=10))
    hang(world, 0, 1)
    world.run(70)
    assert sum(isinstance(a, Drain) for a in world.taken) == 1
    world.run(30)
    assert sum(isinstance(a, Drain) for a in world.taken) == 2


def test_an_operators_drains_do_not_keep_the_ill_from_being_replaced() -> None:
    world = pool(4, rules(min_replicas=0, auto_delete=False, unhealthy_grace_period=10))
    hang(world, 0)
    world.run(20)
    before = world.state.replaced
    for n in (1, 2, 3):
        world._take(Drain(*world.engine(n).ref, "asked"))
    assert world.state.replaced == before


def test_a_bad_end_has_its_engine_asked_at_once() -> None:
    for reason in ("timeout", "empty_timeout", "completed"):
        world = pool(1, STILL)
        world.play(slot(0))
        world.run(0.5)
        world.tell(StreamEnded("s", reason=reason))
        assert world.taken[-1] == Ask(*world.engine(0).ref)


def test_an_ordinary_end_does_not() -> None:
    for reason, after in (("client_disconnected", 0.1), ("eof", 0.1), ("completed", 2.0)):
        world = pool(1, STILL)
        world.play(slot(0))
        world.run(after)
        world.tell(StreamEnded("s", reason=reason))
        assert world.taken == []


def test_a_pass_publishes_still_fine_once_for_all() -> None:
    world = pool(2, STILL)
    world.run(5)
    revision = world.state.revision
    world.tell(EngineAnswered(*world.engine(0).ref))
    seen = world.engine(0).seen
    assert seen is not None
    assert seen < world.now
    world.survey()
    assert {e.seen for e in world.state.engines.values()} == {world.now}
    assert world.state.revision > revision


def test_an_answer_of_an_earlier_start_changes_nothing() -> None:
    world = pool(1, STILL)
    hang(world, 0)
    before = world.engine(0)
    world.tell(EngineAnswered(slot(0), "earlier"))
    world.tell(EngineSilent(slot(0), "earlier", "timeout"))
    world.tell(EnginesSurveyed(((slot(0), "earlier"),)))
    assert world.engine(0) == before


def test_a_stopping_engine_that_answers_is_not_listed() -> None:
    world = pool(2)
    world.run(10.1)
    assert world.listed() == [1]
    world.run(30)
    assert world.engine(0).phase is Phase.STOPPING
    world.tell(EngineAnswered(*world.engine(0).ref))
    assert world.listed() == [1]


def test_all_may_hang_at_once_and_never_more_than_a_quarter_goes_per_cooldown() -> None:
    """Of twenty, as long as it takes; the world checks each replacement by its own count too."""
    world = pool(20, rules(min_replicas=2, unhealthy_grace_period=10, max_replicas=20))
    hang(world, *range(20))
    for _ in range(2000):
        world.run(1)
        now = world.now.mono
        lately = [r for r in world.state.replaced if now - r.mono < 60]
        assert len(lately) <= 5
    assert len(world.listed()) == 2
    assert [s.reason for s in world.stops()].count("unhealthy") == 20
    assert world.state.breaker.failures == 0


def test_with_hundreds_none_is_forgotten_in_the_count() -> None:
    ports = PortPlan(19000, 19999, 20000, 21000, 22000)
    hundreds = rules(ports=ports, min_replicas=0, auto_delete=False, max_replicas=500)
    world = World(hundreds)
    for n in range(480):
        world.state.put(
            Engine(
                slot=slot(n),
                created=world.now,
                incarnation=f"s{n}",
                health=Health.UNHEALTHY,
                ready=world.now,
                settled=True,
                unhealthy=world.now.after(-60),
                probe=Probe(under_way=True),
            )
        )
    world.state.connected = world.state.listed = True
    drained = 0
    while planned := plan(world.state, hundreds, world.now).actions:
        drained += sum(isinstance(a, Drain) for a in planned)
        for action in planned:
            apply(world.state, hundreds, ActionTaken(action), world.now)
    assert drained == 120


def test_the_count_goes_on_after_a_restart() -> None:
    world = pool(8, rules(min_replicas=0, auto_delete=False, unhealthy_grace_period=10))
    hang(world, *range(8))
    world.run(30)
    state = restore(world.rules, world.now, world.state.engines.values())
    assert state.replaced == world.state.replaced
    assert len(state.replaced) == 2


def test_one_hung_engine_costs_the_others_nothing() -> None:
    world = pool(5, STILL)
    for n in range(1, 5):
        world.play(slot(n), f"s{n}")
    before = [world.engine(n) for n in range(1, 5)]
    hang(world, 0)
    world.run(300)
    assert [
        replace(world.engine(n), seen=b.seen, checked=b.checked) for n, b in enumerate(before, 1)
    ] == before
    assert {s.slot for s in world.stops()} == {slot(0)}
    assert world.cut == set()


def test_a_start_is_not_given_up_for_a_silence_while_we_were_late() -> None:
    world = World(rules(min_replicas=1))
    world.script.ready_after = math.inf
    world.connect()
    world.run(29)
    engine = world.engine(0)
    world.now = world.now.after(60)  # we slept
    world.tell(EngineSilent(*engine.ref, "timeout", excused=True))
    world.taken.clear()
    world.run(0.25)
    assert world.taken == [Ask(*engine.ref)]
    world.tell(EngineAnswered(*engine.ref))
    assert world.listed() == [0]


@pytest.mark.parametrize("excused", [True, False])
def test_a_starting_engine_is_asked_four_times_a_second_whatever_came_of_it(excused: bool) -> None:
    world = World(rules(min_replicas=1))
    world.script.ready_after = math.inf
    world.connect()
    world.run(1)
    world.taken.clear()
    for _ in range(40):
        if world.engine(0).probe.under_way:
            world.tell(EngineSilent(*world.engine(0).ref, "a defect of ours", excused=excused))
        world.now = world.now.after(0.125)
        world.tell(TimePassed())
    assert world.taken == [Ask(*world.engine(0).ref)] * 20


def test_while_we_are_late_nobody_is_judged_however_many_are_silent() -> None:
    world = pool(8, STILL)
    for _ in range(10):
        for n in range(8):
            world.tell(EngineSilent(*world.engine(n).ref, "timeout", excused=True))
    assert world.listed() == list(range(8))
    assert world.kinds() == []
