"""What facts changed: the store's work list, and what to tell."""

from collections.abc import Mapping

from msgspec import Struct

from acekeeper.core.build import Build
from acekeeper.core.gateway.model import Hold, Ref
from acekeeper.core.model import Breaker, EarlyEnd, Engine, Sample, Stream
from acekeeper.core.names import Slot
from acekeeper.core.runs import Run


class Happening(Struct, frozen=True, gc=False):
    """Something that happened, for the log, the metrics and the history; `kind` in snake case."""

    kind: str
    engine: Slot | None = None
    stream: str = ""
    data: Mapping[str, object] = {}


class Changes(Struct):
    happened: list[Happening] = []
    engines: dict[Slot, Engine | None] = {}
    streams: dict[str, Stream | None] = {}
    samples: list[tuple[str, Sample]] = []  # by the stream's id
    early_ends: dict[str, EarlyEnd | None] = {}
    holds: dict[Ref, tuple[Hold, ...]] = {}  # all of an engine's
    breaker: Breaker | None = None
    boot: str | None = None
    at_least: int | None = None
    build: Build | None = None
    run: Run | None = None
    fleet: bool = False  # a plan may want something of other hosts; not stored
    vpns: bool = False  # in more than their traffic; not stored
    maintenance: float | None = None  # since when, by the wall clock; 0 once it is over
    # All by or for players of the gateway: nobody was promised that it outlives the host.
    of_gateway: bool = False

    def __bool__(self) -> bool:
        single = (
            *(self.breaker, self.boot, self.at_least),
            *(self.build, self.run, self.maintenance),
        )
        many = self.engines or self.streams or self.samples or self.early_ends or self.holds
        return bool(many) or any(value is not None for value in single)
