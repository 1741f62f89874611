"""What players of the gateway do, as if they had one engine: ask, follow the redirect, hang up."""

import itertools

from acekeeper.core.doubt import Content
from acekeeper.core.gateway.facts import PlayRequested, ReaderCame, ReaderSent
from acekeeper.core.gateway.model import Wanted
from acekeeper.core.model import KeyType, Stream
from acekeeper.core.names import HERE
from acekeeper.simulation.pool import Pool, Process
from acekeeper.simulation.trace import Viewer

_LOOKS_EVERY_S = 10.0  # MONITOR_INTERVAL_S by default


class Players:
    """None of them tells when it stops watching: it closes its connection to the engine."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._numbers = itertools.count(1)

    def meanwhile(self, until: float) -> Process:
        """The looks that find sessions nobody reads."""
        while self._pool.now.mono < until or self._pool.state.playing:
            self._pool.see_connections()
            yield _LOOKS_EVERY_S

    def watch(self, viewer: Viewer) -> Process:
        """A channel of its own: nobody shares an engine by watching the same."""
        pool, rules = self._pool, self._pool.rules
        arrived = pool.now
        number = next(self._numbers)
        request = f"play-{number}"
        wanted = Wanted(
            content=Content(KeyType.CONTENT_ID, f"{number:040x}"),
            is_hls=False,
            as_json=False,
            player=viewer.player or request,
            arrival=HERE,
        )
        within = max(rules.gateway_wait, rules.gateway_wait_redirected)
        stream = yield PlayRequested(request, wanted, arrived, within)
        if not isinstance(stream, Stream) or stream.slot is None:
            pool.tally.refused += 1
            return
        pool.tally.served(request, arrived.mono)
        pool.tally.shared += len(pool.state.playing[stream.slot]) > 1
        pool.tell(ReaderCame(stream.id))
        pool.tell(ReaderSent(stream.id))
        pool.connected[stream.id] = stream.slot, stream.incarnation
        yield viewer.stays
        del pool.connected[stream.id]
