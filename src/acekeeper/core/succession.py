"""Which start makes up for which loss: the one that comes next for the loss that waits longest.

It is for whoever reads the log; nothing is decided by it, and a restart forgets it.
"""

from acekeeper.core.model import Engine, Now
from acekeeper.core.names import Slot
from acekeeper.core.state import State

_MOST = 500
_FORGOTTEN = 600.0  # seconds: whatever starts after that is for what is wanted then


def lost(state: State, engine: Engine, now: Now) -> None:
    """It died, did not get ready, or goes off the list, and nobody wanted that. Not once more if
    it was off the list before."""
    if engine.unlisted is None:
        state.unreplaced = (*state.unreplaced[1 - _MOST :], (engine.slot, now))


def found(state: State, engine: Engine) -> None:
    """It is well again, and needs no successor."""
    state.unreplaced = tuple(loss for loss in state.unreplaced if loss[0] != engine.slot)


def replaced(state: State, now: Now) -> Slot | None:
    """By what starts now."""
    waiting = [(slot, at) for slot, at in state.unreplaced if now.mono - at.mono < _FORGOTTEN]
    state.unreplaced = tuple(waiting[1:])
    return waiting[0][0] if waiting else None
