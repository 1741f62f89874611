from acekeeper.core.actions import Grant, Start
from acekeeper.core.facts import (
    EngineAnswered,
    EngineDied,
    EngineIdentified,
    EnginesListed,
    EnginesSurveyed,
    EngineStarted,
    EngineStopFailed,
    Found,
    RuntimeConnected,
)
from acekeeper.core.lifecycle import parts
from acekeeper.core.model import Breaker, Health, Phase

from .world import HOST, Outside, World, pool, rules, slot, started

STILL = rules(min_replicas=0, auto_delete=False)


def found(n: int, incarnation: str = "", *, dying: bool = False) -> Found:
    name = incarnation or f"found-{n}"
    return Found(slot(n), name, f"id-{name}", dying)


def test_an_engine_nobody_knows_is_adopted_and_anyones_to_claim() -> None:
    world = World(STILL)
    world.connect([found(3)])
    assert "engine_adopted" in world.kinds()
    world.request("r")
    assert world.taken[-1] == Grant("r", slot(3))


def test_an_adopted_engine_is_listed_when_it_answers() -> None:
    world = World(STILL)
    world.outside[slot(3)] = Outside(slot(3), "found-3", "id-found-3", 0.0)
    world.connect([found(3)])
    assert world.listed() == []
    world.run(1)
    assert world.listed() == [3]


def test_adopted_engines_say_nothing_of_how_long_a_start_takes() -> None:
    world = pool(8, STILL)
    assert world.state.typical_start == 6.0
    world.request("r", port=19050)
    world.run(20)
    assert world.state.typical_start != 6.0


def test_an_adopted_engine_with_a_stream_is_not_handed_out() -> None:
    world = World(STILL)
    world.tell(started("s", slot(3)))
    world.connect([found(3)])
    assert list(world.state.playing) == [slot(3)]
    assert world.state.streams["s"].incarnation == "found-3"
    world.request("r")
    assert world.taken[-1] == Start(slot(0), "r")
    world.tell(EngineAnswered(slot(3), "found-3"))
    assert world.engine(3).free_since is None


def test_an_engine_on_its_way_out_is_adopted_as_that() -> None:
    world = World(STILL)
    world.connect([found(3, dying=True)])
    assert world.engine(3).phase is Phase.STOPPING
    world.request("r")
    assert world.taken[-1] == Start(slot(0), "r")


def test_the_same_start_keeps_its_readiness() -> None:
    world = pool(2, STILL)
    before = dict(world.state.engines)
    world.list_engines([found(0), found(1)])
    assert world.state.engines == before
    assert world.happened == []


def test_what_is_not_in_the_list_is_gone_with_its_streams() -> None:
    world = pool(2, STILL)
    world.play(slot(0))
    world.list_engines([found(1)])
    assert list(world.state.engines) == [slot(1)]
    assert world.state.streams["s"].reason == "engine_died:vanished"


def test_another_start_is_another_engine() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    world.list_engines([found(0, "other")])
    assert world.state.streams["s"].ended == world.now
    assert world.engine(0).incarnation == "other"
    assert world.engine(0).phase is Phase.STARTING
    assert world.state.playing == {}


def test_an_engine_younger_than_the_list_has_not_vanished() -> None:
    world = World(STILL)
    world.connect()
    asked = world.now
    world.request("r")
    world.run(1)
    world.tell(EnginesListed(HOST, "boot-1", asked, ()))
    assert list(world.state.engines) == [slot(0)]


def test_a_start_under_way_has_not_vanished() -> None:
    world = World(STILL)
    world.connect()
    world.request("r")
    world.list_engines()
    assert list(world.state.engines) == [slot(0)]
    world.list_engines([found(0, "start-1")])  # it runs, and its name is not told yet
    assert world.engine(0).incarnation == ""
    world.tell(EngineStarted(slot(0), "start-1", "id"))
    assert world.engine(0).incarnation == "start-1"


def test_a_list_asked_before_a_death_does_not_bring_the_dead_back() -> None:
    world = pool(1, STILL)
    asked = world.now
    world.run(0.1)
    world.die(slot(0))
    world.run(0.1)
    world.tell(EnginesListed(HOST, "boot-1", asked, (found(0),)))
    assert world.state.engines == {}


MANY = 120


def crowded() -> World:
    """Engines with a stream each, and streams on engines that nobody has found yet."""
    world = World(rules(min_replicas=0, auto_delete=False, max_replicas=500))
    world.connect(found(n) for n in range(MANY))
    for n in range(2 * MANY):
        world.tell(started(f"s{n}", slot(n)))
    world.run(1)
    return world


def many_others() -> tuple[Found, ...]:
    """A third of them is gone, a third is another start, and as many are new."""
    again = [found(n, f"again-{n}") for n in range(MANY // 3, 2 * MANY // 3)]
    return (*again, *(found(n) for n in range(2 * MANY // 3, 2 * MANY)))


def test_a_long_list_in_parts_comes_to_the_same_as_the_whole() -> None:
    whole, piecemeal = crowded(), crowded()
    listing = EnginesListed(HOST, "boot-2", whole.now, many_others())
    whole.tell(listing)
    told = []
    for part in parts(piecemeal.state, piecemeal.rules, listing):
        assert piecemeal.state.boot == "boot-1"
        piecemeal.tell(part)
        told.append(part)
    assert [part.slots is None for part in told] == [False] * (len(told) - 1) + [True]
    assert all(len(part.slots or ()) < MANY // 2 for part in told)
    assert piecemeal.state.engines == whole.state.engines
    assert piecemeal.state.streams == whole.state.streams
    assert piecemeal.state.boot == "boot-2"
    assert sorted(map(repr, piecemeal.happened)) == sorted(map(repr, whole.happened))
    assert len([*parts(whole.state, whole.rules, listing)]) == 1  # nothing differs any more


def test_the_first_list_is_known_with_its_last_part() -> None:
    world = World(STILL)
    world.tell(RuntimeConnected())
    listing = EnginesListed(HOST, "boot-1", world.now, tuple(found(n) for n in range(MANY)))
    *some, last = parts(world.state, world.rules, listing)
    for part in some:
        world.tell(part)
    assert some
    assert not world.state.listed
    world.tell(last)
    assert world.state.listed
    assert len(world.state.engines) == MANY


def test_an_engine_that_dies_before_its_part_of_the_list_is_not_adopted() -> None:
    world = World(STILL)
    world.tell(RuntimeConnected())
    listing = EnginesListed(HOST, "boot-1", world.now, (found(0), found(1)))
    world.run(0.1)
    world.tell(EngineDied(slot(0), found(0).incarnation, "killed"))
    world.tell(listing)
    assert list(world.state.engines) == [slot(1)]


def test_after_a_reboot_nothing_is_to_blame() -> None:
    world = World(STILL)
    world.connect()
    world.request("r")
    world.run(7)
    world.play(slot(0))
    world.list_engines([], boot="boot-2")
    assert world.state.streams["s"].reason == "engine_died:host_rebooted"
    assert world.state.breaker == Breaker()
    assert world.state.boot == "boot-2"


def test_the_first_list_of_all_is_no_reboot() -> None:
    world = pool(1, STILL)
    world.state.boot = ""
    world.play(slot(0))
    world.list_engines([], boot="boot-1")
    assert world.state.streams["s"].reason == "engine_died:vanished"


def test_a_death_is_followed_by_a_new_start_elsewhere() -> None:
    world = pool(1)
    world.play(slot(0))
    world.run(20)
    world.taken.clear()
    world.die(slot(0), "oom")
    assert world.state.streams["s"].reason == "engine_died:oom"
    assert list(world.state.engines) == [slot(1)]
    world.die(slot(1), "oom")
    world.run(1)
    assert world.starts() == [Start(slot(2))]


def test_a_late_death_of_an_earlier_start_changes_nothing() -> None:
    world = pool(1, STILL)
    world.play(slot(0))
    before = world.engine(0)
    for start in ("earlier", ""):
        world.tell(EngineDied(slot(0), start, "killed"))
        world.tell(EngineStarted(slot(0), start, "id"))
        world.tell(EngineIdentified(slot(0), start, "id"))
        world.tell(EngineStopFailed(slot(0), start, "bus"))
    assert world.engine(0) == before
    assert world.state.streams["s"].ended is None


def test_no_fact_without_a_start_reaches_a_start_without_a_name() -> None:
    world = World(STILL)
    world.connect()
    world.request("r")
    before = world.engine(0)
    world.tell(EngineAnswered(slot(0), ""))
    world.tell(EngineDied(slot(0), "", "killed"))
    world.tell(EnginesSurveyed(((slot(0), ""),)))
    assert world.engine(0) == before


def test_a_container_id_may_come_later_and_once() -> None:
    world = World(STILL)
    world.script.container_id = False
    world.connect()
    world.request("r")
    world.run(1)
    world.tell(EngineIdentified(slot(0), world.engine(0).incarnation, "late"))
    world.tell(EngineIdentified(slot(0), world.engine(0).incarnation, "later"))
    assert world.engine(0).container_id == "late"
    world.run(2)
    assert world.given("r").container_id == "late"


def test_an_engine_is_nobodys_before_it_has_a_container_id() -> None:
    world = World(STILL)
    world.outside[slot(3)] = Outside(slot(3), "found-3", "", 0.0)
    world.connect(world.running())
    world.run(1)
    assert world.engine(3).health is Health.HEALTHY
    assert world.listed() == []
    assert not world.state.is_free(world.engine(3), world.rules)
    world.request("r")
    assert world.taken[-1] == Start(slot(0), "r")
    world.list_engines([found(3)])
    assert world.listed() == [3]
    assert world.engine(3).container_id == "id-found-3"


def test_a_stream_gets_the_container_id_of_its_engine_when_that_is_known() -> None:
    world = World(STILL)
    world.connect([Found(slot(3), "found-3", "")])
    world.play(slot(3))
    assert world.state.streams["s"].container_id == ""
    world.tell(EngineIdentified(slot(3), "found-3", "late"))
    assert world.state.streams["s"].container_id == "late"
    assert world.state.playing == {slot(3): {"s": None}}


def test_told_to_connect_twice_it_happened_once() -> None:
    world = World(STILL)
    world.tell(RuntimeConnected())
    world.tell(RuntimeConnected())
    assert world.kinds() == ["runtime_connected"]


def test_a_wanted_end_is_no_failure() -> None:
    world = pool(2)
    world.run(60)
    assert "engine_stopped" in world.kinds()
    assert "engine_died" not in world.kinds()
    assert world.state.breaker == Breaker()
    assert world.engine(1).health is Health.HEALTHY
