"""Whatever becomes of messages, the view is one that was once true, and ends in the true one."""

from hypothesis import given
from hypothesis import strategies as st

from acekeeper.core.changes import Happening
from acekeeper.core.facts import TimePassed
from acekeeper.core.fleet.actions import Sync
from acekeeper.core.fleet.facts import FleetFact, LinkDown, LinkUp
from acekeeper.core.fleet.model import Doing, Standing
from acekeeper.core.model import Now

from .world import FLEET, FleetWorld, Other, check

NAMES = "bcd"
HOSTS = st.sampled_from(NAMES)
PORTS = st.integers(19000, 19003)
CHANGES = st.tuples(
    st.just("change"), HOSTS, st.lists(PORTS, max_size=2), PORTS, st.sampled_from(Doing)
)
STEPS = st.one_of(
    CHANGES,
    st.tuples(st.just("restart"), HOSTS),
    st.tuples(st.just("beat"), HOSTS),
    st.tuples(st.just("arrives"), st.integers(0, 30), st.booleans()),
    st.tuples(st.just("lost"), st.integers(0, 30)),
    st.tuples(st.just("passes"), st.floats(0.01, 12)),
    st.tuples(st.just("jumps"), st.sampled_from([-3600.0, 3600.0])),
    st.tuples(st.just("down")),
    st.tuples(st.just("up")),
)


class Wire(FleetWorld):
    """Nobody beats by itself, and what is said is under way until a test lets it arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.answers_syncs = False
        self.under_way: list[FleetFact] = []
        self.others = {name: Other(name) for name in NAMES}

    def answer_syncs(self) -> None:
        """As each host is now."""
        asked = [action.host for action in self.taken if isinstance(action, Sync)]
        self.taken.clear()
        self.under_way += [self.others[name].snapshot() for name in asked]

    def do(self, kind: str, *how: object) -> None:
        match kind, *how:
            case "change", str(name), list(up), int(gone), Doing() as doing:
                self.under_way.append(self.others[name].change(*up, gone=gone, doing=doing))
            case "restart", str(name):
                self.others[name].restart()
            case "beat", str(name):
                self.under_way.append(self.others[name].beat())
            case "arrives", int(which), bool(again) if self.under_way:
                which %= len(self.under_way)
                self.tell(self.under_way[which])
                if not again:
                    del self.under_way[which]
            case "lost", int(which) if self.under_way:
                del self.under_way[which % len(self.under_way)]
            case "passes", float(seconds):
                self.run(seconds)
                self.tell(TimePassed())
            case "jumps", float(seconds):
                self.now = Now(self.now.wall + seconds, self.now.mono)
            case ("down",):
                self.tell(LinkDown("reset"))
                self.tell(TimePassed())  # as the loop does at once, where a lease is over
            case ("up",):
                self.tell(LinkUp())
            case _:
                pass  # nothing is under way
        self.answer_syncs()
        check(self)

    def heal(self) -> None:
        """Beats and what is asked for get through, each at once."""
        self.under_way.clear()
        self.tell(LinkUp())
        self.taken.clear()
        for _ in range(4):
            for name in NAMES:
                self.do("beat", name)
            while self.under_way:
                self.do("arrives", 0, False)
            self.run(1)


@given(st.lists(STEPS, max_size=60))
def test_the_view_was_once_true_and_ends_in_the_true_one(steps: list[tuple[object, ...]]) -> None:
    world = Wire()
    for kind, *how in steps:
        world.do(str(kind), *how)
    world.heal()
    assert world.knows_all()
    assert world.standings() == dict.fromkeys(NAMES, Standing.LIVE)
    assert world.syncs() == []


SILENCES = st.lists(
    st.tuples(st.floats(0.1, 20), st.sampled_from([*NAMES, "link", "wall"])), max_size=12
)


@given(SILENCES)
def test_a_standing_follows_from_the_silence_and_from_our_link(
    silences: list[tuple[float, str]],
) -> None:
    world = FleetWorld(*NAMES)
    for seconds, who in silences:
        if who == "link":
            world.tell(LinkDown("reset") if world.fleet.link.is_up else LinkUp())
            world.tell(TimePassed())
        elif who == "wall":
            world.now = Now(world.now.wall + 3600, world.now.mono)
        else:
            world.others[who].speaks = not world.others[who].speaks
        for _ in range(int(seconds * 4)):
            world.happened.clear()
            world.run(0.25)
            check(world)
            least = FLEET.lease if world.fleet.link.is_up else FLEET.lease + FLEET.stale_lasts
            assert all(silent_for(lost) >= least for lost in world.told("host_lost"))
    world.tell(LinkUp())
    for other in world.others.values():
        other.speaks = True
    world.run(2)
    assert world.knows_all()


def silent_for(lost: Happening) -> float:
    seconds = lost.data["seconds"]
    assert isinstance(seconds, float)
    return seconds
