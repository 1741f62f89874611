"""What a run of the service is told of the one before."""

from acekeeper.core.apply import apply
from acekeeper.core.runs import Run, ServiceStarted, ServiceStopped
from acekeeper.core.state import State

from .world import World

FIRST = Run("1.0.0", "boot-1", "salt", {"A": "1", "B": "2", "OLD": "3"})
SECOND = Run("1.0.0", "boot-1", "salt", {"A": "1", "B": "9", "NEW": "4"})


def told(*facts: ServiceStarted | ServiceStopped, last: Run | None = None) -> list[object]:
    world = World(state=State(run=last))
    for fact in facts:
        world.tell(fact)
    said = [(h.kind, {k: v for k, v in h.data.items() if v is not None}) for h in world.happened]
    return [*said, world.state.run]


def test_a_first_run_knows_of_none_before() -> None:
    assert told(ServiceStarted(FIRST)) == [("service_started", {"version": "1.0.0"}), FIRST]


def test_it_is_told_how_the_last_one_ended_and_which_settings_differ() -> None:
    started, changed, run = told(ServiceStarted(SECOND), last=FIRST)
    assert started == ("service_started", {"version": "1.0.0", "last_end": "killed"})
    assert changed == ("settings_changed", {"names": ["B"]})  # not what only one of them has
    assert run == SECOND


def test_an_end_as_it_was_asked_to_is_told_by_the_next() -> None:
    *_, stopped, run = told(ServiceStarted(FIRST), ServiceStopped())
    assert stopped == ("service_stopped", {})
    assert isinstance(run, Run)
    again, _ = told(ServiceStarted(FIRST), last=run)
    assert again == ("service_started", {"version": "1.0.0", "last_end": "stopped"})


def test_a_host_that_went_down_killed_nobody() -> None:
    later = Run("1.1.0", "boot-2", "salt", FIRST.settings)
    started, _ = told(ServiceStarted(later), last=FIRST)
    last_end = {"before": "1.0.0", "last_end": "host_went_down"}
    assert started == ("service_started", {"version": "1.1.0", **last_end})


def test_what_the_next_run_needs_is_stored() -> None:
    world = World()
    changes = apply(world.state, world.rules, ServiceStarted(FIRST), world.now)
    assert changes.run == FIRST
    assert changes
