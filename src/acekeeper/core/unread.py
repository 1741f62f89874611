"""Streams that cannot be asked about: the engine says nothing of them, and their end may be lost.
They are judged by that silence, and by who is connected to their engine."""

from dataclasses import replace

from acekeeper.core import callers, streams
from acekeeper.core.doubt import Heard
from acekeeper.core.facts import StreamsAsked
from acekeeper.core.model import Now, Rules
from acekeeper.core.state import State

UNREAD = "unread"


def heard(state: State, fact: StreamsAsked, now: Now) -> None:
    for stream in state.started_on(fact.slot):
        if stream.start != fact.start:
            continue
        before = state.heard.get(stream.id, Heard())
        sample = fact.samples.get(stream.ref)
        if sample is not None:
            feeds = sample.peers > 0 or sample.speed_down > 0
            state.heard[stream.id] = Heard(fed=bool(before.fed) or feeds)
        elif before.silent is None:
            state.heard[stream.id] = replace(before, silent=now.mono)


def end(state: State, rules: Rules, now: Now) -> None:
    """Those of which nothing was heard while nobody was connected, both for so long."""
    for slot in list(state.playing):
        engine = state.engines.get(slot)
        if engine is None or callers.nobody_for(state, engine) < rules.unread_after:
            continue
        last = state.callers[engine.ref].at
        for stream in list(state.started_on(slot)):
            silent = state.heard.get(stream.id, Heard()).silent
            if silent is not None and last - silent >= rules.unread_after:
                streams.end_stream(state, stream, UNREAD, now)
