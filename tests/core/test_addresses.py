from msgspec.structs import replace

from acekeeper.core.actions import Drain
from acekeeper.core.addresses import absences, absent
from acekeeper.core.facts import RuntimeChecked
from acekeeper.core.rollout import REASONS

from .world import HOST, World, pool, rules, slot

LAN, OTHER = "192.0.2.5", "192.0.2.6"


def told_of(world: World, *there: str) -> None:
    world.there = (HOST, *there)
    world.tell(RuntimeChecked("", world.there))


def moving(count: int, *wanted: str, **numbers: object) -> World:
    """A pool whose engines are at loopback alone, and that has just learned it is to be at more."""
    world = pool(count, rules(addresses=(HOST, *wanted), **numbers))
    told_of(world, *wanted)
    return world


def at(world: World) -> dict[int, tuple[str, ...]]:
    engines = world.state.engines.values()
    return {e.slot.port - 19000: e.addresses for e in engines if e.listed}


def drained(world: World) -> list[int]:
    drains = [a for a in world.taken if isinstance(a, Drain)]
    return [d.slot.port - 19000 for d in drains if d.reason in REASONS]


def test_an_address_that_is_absent_is_named_until_it_is_there() -> None:
    world = pool(1, rules(addresses=(HOST, LAN, OTHER)))
    assert absent(world.state, world.rules) == ()  # nobody has looked yet
    told_of(world, OTHER)
    told_of(world, OTHER)
    assert absent(world.state, world.rules) == (LAN,)
    told_of(world, LAN, OTHER)
    assert absent(world.state, world.rules) == ()
    changes = [(h.kind, h.data["addresses"]) for h in world.happened if "addresses" in h.kind]
    assert changes == [("addresses_absent", (LAN,)), ("addresses_complete", None)]


def test_an_engine_knows_where_it_was_published_when_it_started() -> None:
    world = World(rules(addresses=(HOST, LAN)))
    world.there = (HOST, LAN)
    world.connect()
    world.run(10)
    assert at(world) == {0: (HOST, LAN)}


def test_a_free_engine_that_lacks_an_address_goes_when_its_successor_is_ready() -> None:
    world = moving(1, LAN)
    assert drained(world) == []
    assert len(world.starts()) == 1
    for _ in range(100):
        world.run(1)
        assert world.listed() != []
    assert drained(world) == [0]
    assert at(world) == {1: (HOST, LAN)}
    world.run(1000)
    assert len(world.starts()) == 1


def test_engines_are_replaced_and_never_under_a_viewer() -> None:
    world = pool(4, rules(addresses=(HOST, LAN), min_replicas=3))
    world.play(slot(3))
    told_of(world, LAN)
    for _ in range(600):
        world.run(1)
        assert len(world.listed()) >= 4  # three free ones, and the one that plays
    assert drained(world) == [0, 1, 2]
    world.leave("s")
    world.run(600)
    assert drained(world) == [0, 1, 2, 3]
    assert set(at(world).values()) == {(HOST, LAN)}


def test_an_address_that_goes_away_replaces_nobody_and_one_that_is_not_wanted_does() -> None:
    world = World(rules(addresses=(HOST, LAN)))
    world.there = (HOST, LAN)
    world.connect()
    world.run(20)
    told_of(world)
    world.run(100)
    assert drained(world) == []
    world.rules = rules()
    told_of(world)
    world.run(100)
    assert drained(world) == [0]
    assert at(world) == {1: (HOST,)}


def test_an_engine_whose_port_is_no_longer_in_the_range_is_replaced() -> None:
    """A firewall closes the ports of the range alone."""
    world = pool(2, rules(min_replicas=2))
    world.play(slot(1))
    world.rules = replace(world.rules, ports=world.rules.ports._replace(first=19002))
    told_of(world)
    world.run(600)
    assert drained(world) == [0]
    assert {*at(world)} == {1, 2, 3}


def test_an_address_of_the_gateway_alone_is_missed_and_no_matter_of_the_engines() -> None:
    world = pool(1, rules(gateway_addresses=(HOST, LAN)))
    told_of(world)
    assert absent(world.state, world.rules) == (LAN,)
    assert absences(world.rules, (LAN,)) == [
        f"GATEWAY_HOST: {LAN} is not an address of this host (yet)"
    ]
    told_of(world, LAN)
    world.run(100)
    assert absent(world.state, world.rules) == ()
    assert (drained(world), world.starts()) == ([], [])


def test_who_is_published_everywhere_lacks_no_address() -> None:
    everywhere = World(rules(addresses=("0.0.0.0",)))
    everywhere.there = ("0.0.0.0",)
    everywhere.connect()
    everywhere.run(20)
    assert everywhere.engine(0).is_at(HOST)
    assert everywhere.engine(0).is_at(LAN)
    everywhere.tell(RuntimeChecked("", everywhere.there))
    everywhere.run(100)
    assert drained(everywhere) == []
    assert not pool(1).engine(0).is_at(LAN)
