"""Gauges of the pool. They read the state when they are asked, so that they cannot drift."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from acekeeper.core import rollout
from acekeeper.core.admission import blocked
from acekeeper.core.breaker import Circuit, circuit
from acekeeper.core.model import Health
from acekeeper.core.playback import failing
from acekeeper.core.rules import Rules
from acekeeper.core.state import State
from acekeeper.metrics.series import gauge
from acekeeper.usecases.protocols import Clock

_KILOBYTE = 1024  # of the speeds engines tell


class Pool(Collector):
    def __init__(self, state: State, rules: Rules, clock: Clock) -> None:
        self._state = state
        self._rules = rules
        self._clock = clock

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return chain(self._engines(), self._provisioning(), self._streams(), self._gateway())

    def _engines(self) -> Iterator[GaugeMetricFamily]:
        state, rules = self._state, self._rules
        engines = list(state.engines.values())
        total = gauge("orch_engines_total")
        for health in Health:
            total.add_metric([health.value], sum(e.health is health for e in engines))
        yield total
        yield gauge("orch_engines_free", sum(state.is_free(e, rules) for e in engines))
        yield gauge("orch_engines_starting", len(state.index.starting))
        yield gauge("orch_engines_draining", sum(e.drain is not None for e in engines))
        starving = sum(e.hunger is not None and e.hunger.told for e in engines)
        yield gauge("orch_engines_starving", starving)
        counts = Counter(rollout.why(e, state, rules) for e in rollout.outdated(state, rules))
        old = gauge("acekeeper_engines_outdated")
        for reason in rollout.REASONS:
            old.add_metric([reason], counts[reason])
        yield old
        is_stopped = state.rollout is not None and bool(state.rollout.stopped)
        yield gauge("acekeeper_rollout_stopped", is_stopped)
        yield gauge("orch_engines_max", rules.max_replicas)
        yield gauge("orch_engines_min_free", rules.min_replicas)

    def _provisioning(self) -> Iterator[GaugeMetricFamily]:
        now = self._clock()
        breaker = gauge("orch_circuit_state")
        current = circuit(self._state.breaker, self._rules, now)
        for state in Circuit:
            breaker.add_metric([state.value], state is current)
        yield breaker
        refusal = blocked(self._state, self._rules, now)
        yield gauge("orch_provisioning_blocked", refusal is not None)
        since = self._state.maintenance
        yield gauge("orch_maintenance", since is not None)
        yield gauge("acekeeper_maintenance_seconds", now.mono - since.mono if since else 0)

    def _streams(self) -> Iterator[GaugeMetricFamily]:
        state = self._state
        yield gauge("orch_streams_active", len(state.streams) - len(state.ended))
        yield gauge("orch_contents_failing", failing(state, self._rules, self._clock()))
        peers, speed = gauge("orch_stream_peers"), gauge("orch_stream_speed_bytes")
        for slot, ids in state.playing.items():
            known = map(state.known, ids)
            if samples := [sample for sample in known if sample is not None]:
                name = [slot.container_name]
                peers.add_metric(name, sum(s.peers for s in samples))
                speed.add_metric(name, sum(s.speed_down for s in samples) * _KILOBYTE)
        yield peers
        yield speed

    def _gateway(self) -> Iterator[GaugeMetricFamily]:
        state = self._state
        yield gauge("acekeeper_gateway_waiting", len(state.plays))
        yield gauge("acekeeper_gateway_playing", len(state.readers))
        yield gauge("acekeeper_gateway_holds", sum(map(len, state.holds.values())))
