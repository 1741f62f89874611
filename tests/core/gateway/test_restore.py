"""What becomes of players' sessions when acekeeper is killed, and started again."""

from msgspec.structs import replace

from acekeeper.core.apply import apply
from acekeeper.core.facts import TimePassed
from acekeeper.core.gateway.actions import StopSession
from acekeeper.core.gateway.facts import StopAsked
from acekeeper.core.restore import restore
from acekeeper.core.state import State

from .players import Players, channel, players


def restored(world: Players) -> State:
    state = world.state
    return restore(
        world.rules,
        world.now,
        engines=state.engines.values(),
        streams=sorted(state.streams.values(), key=lambda s: (s.ended is None, s.started.mono)),
        holds=((ref, hold) for ref, held in state.holds.items() for hold in held),
        boot=state.boot,
    )


def again(world: Players) -> Players:
    other = Players(world.rules)
    other.state, other.now = restored(world), world.now
    other.outside, other.own_manners = world.outside, world.own_manners
    other.connect(other.running())
    return other


def stops(world: Players) -> list[str]:
    """The tokens of what was stopped."""
    return [action.hold.token for action in world.taken if isinstance(action, StopSession)]


def test_what_was_being_opened_is_stopped_before_others_get_the_engine() -> None:
    world = players(1)
    world.ask("a", 1)
    other = again(world)
    assert not other.state.plays
    other.ask("b", 2)
    assert stops(other) == [""]
    assert not other.opened()
    other.run(1)
    assert not other.state.holds
    assert other.served["b"].key == channel(2).key


def test_a_session_that_was_opened_plays_on_and_counts_as_opened_now() -> None:
    world = players(1)
    world.ask("a", 1)
    world.run(0.5)
    stream = world.served["a"]
    world.run(100)
    other = again(world)
    assert other.state.streams[stream.id] == stream
    assert other.state.tokens == {stream.session: stream.id}
    assert not other.state.holds
    for _ in range(int(other.rules.gateway_idle) // 5):
        other.sweep_streams()
        other.run(5)
    assert not other.state.ended
    other.sweep_streams()
    other.run(1)
    assert other.reasons() == {stream.id: "idle"}
    assert stops(other) == [stream.session]


def test_a_stop_under_way_is_asked_for_again_at_once() -> None:
    world = players(1)
    world.ask("a", 1)
    world.run(0.5)
    world.at(0).stops = False
    stream = world.served["a"]
    world.tell(StopAsked(stream.id))
    [[hold]] = world.state.holds.values()
    assert hold.stopping
    other = again(world)
    assert stops(other) == [stream.session]
    other.at(0).stops = True
    other.run(6)
    assert not other.state.holds


def test_nothing_is_held_on_an_engine_that_is_gone_nor_kept_on_disk() -> None:
    world = players(2)
    world.ask("a", 1)
    world.ask("b", 2)
    gone, changed = world.engine(0), world.engine(1)
    del world.state.engines[gone.slot]
    world.state.engines[changed.slot] = replace(changed, incarnation="another")
    state = restored(world)
    assert not state.holds
    changes = apply(state, world.rules, TimePassed(), world.now)
    assert changes.holds == {gone.ref: (), changed.ref: ()}


def test_what_was_held_on_an_engine_that_ended_meanwhile_is_gone_with_it() -> None:
    world = players(1)
    world.ask("a", 1)
    world.outside.clear()
    other = again(world)
    assert not other.state.holds


def test_a_session_is_found_by_the_tokens_of_those_before_it() -> None:
    world = players(2)
    world.ask("a", 1, hls=True)
    world.run(0.5)
    world.ask("b", 1, hls=True, instead_of=world.served["a"].id)
    world.run(0.5)
    first, second = world.served["a"], world.served["b"]
    other = again(world)
    assert other.state.tokens == {first.session: second.id, second.session: second.id}


def test_an_ended_session_is_found_by_its_token() -> None:
    world = players(1)
    world.ask("a", 1, hls=True)
    world.run(0.5)
    stream = world.served["a"]
    world.tell(StopAsked(stream.id))
    assert again(world).state.tokens == {stream.session: stream.id}


def test_a_session_left_before_the_end_of_the_last_run_is_given_up_as_soon_as_any_other() -> None:
    """Its player came for the picture long ago; nobody waits for it to come at first."""
    world = players(1)
    world.ask("a", 1)
    world.run(0.5)
    world.picture("a")
    world.run(world.rules.came_within)
    world.hang_up("a")
    other = again(world)
    other.ask("b", 2, player="192.0.2.2", json=True, within=9)
    other.run(other.rules.gone_for_all - 0.1)
    assert not other.opened()
    other.run(2)
    assert other.served["b"].key == channel(2).key


def test_a_session_that_was_read_is_not_given_to_somebody_else() -> None:
    """A proxy that asks for the content again wants a session that it can read."""
    world = players(2)
    world.ask("a", 1, json=True)
    world.run(0.5)
    world.picture("a")
    world.run(world.rules.came_within)
    other = again(world)
    other.ask("b", 1, json=True)
    other.run(1)
    assert other.served["b"].id != world.served["a"].id


def test_no_engine_is_replaced_for_a_stop_that_nobody_asked_it_for_while_we_were_away() -> None:
    world = players(1)
    world.ask("a", 1)
    world.now = world.now.after(100)
    other = again(world)
    other.run(1)
    assert stops(other) == [""]
    assert not other.state.holds
    assert other.engine(0).drain is None
