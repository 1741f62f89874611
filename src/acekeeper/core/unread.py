"""Streams that cannot be asked about: the engine says nothing of them, and their end may be lost.
They are judged by that silence, and by who is connected to their engine."""

from acekeeper.core import callers, streams
from acekeeper.core.doubt import Heard
from acekeeper.core.model import Now, Rules
from acekeeper.core.state import State

UNREAD = "unread"


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
