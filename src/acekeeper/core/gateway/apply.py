"""What the facts and the actions of the gateway change."""

from typing import assert_never

from acekeeper.core.gateway import elsewhere, holds, plays, readers
from acekeeper.core.gateway.actions import (
    Fail,
    GatewayAction,
    Open,
    SeeReaders,
    SendThere,
    Serve,
    StopSession,
    Supersede,
)
from acekeeper.core.gateway.facts import (
    GatewayFact,
    HostDeclined,
    HostPlayed,
    PlayerLeft,
    PlayOpened,
    PlayRefused,
    PlayRequested,
    PlaySilent,
    ReaderCame,
    ReaderLeft,
    ReaderSent,
    ReadersSeen,
    SessionNotStopped,
    SessionRead,
    SessionStopped,
    StopAsked,
)
from acekeeper.core.model import Now
from acekeeper.core.rules import Rules
from acekeeper.core.state import State


def told(state: State, rules: Rules, fact: GatewayFact, now: Now) -> None:
    match fact:
        case PlayRequested():
            plays.requested(state, rules, fact, now)
        case PlayOpened():
            plays.opened(state, rules, fact, now)
        case PlayRefused():
            plays.refused(state, fact, now)
        case PlaySilent():
            plays.silent(state, rules, fact, now)
        case PlayerLeft():
            plays.left(state, fact, now)
        case HostPlayed():
            elsewhere.played(state, fact)
        case HostDeclined():
            elsewhere.declined(state, fact, now)
        case ReaderCame() | ReaderSent() | ReaderLeft() | SessionRead():
            readers.told(state, rules, fact, now)
        case StopAsked(stream):
            readers.stop_asked(state, stream, now)
        case ReadersSeen(at, read):
            readers.seen(state, rules, at, read)
        case SessionStopped(slot, incarnation, hold):
            holds.stopped(state, (slot, incarnation), hold, now)
        case SessionNotStopped():
            holds.not_stopped(state, rules, fact, now)
        case _:
            assert_never(fact)


def take(state: State, rules: Rules, action: GatewayAction, now: Now) -> None:
    match action:
        case Open():
            plays.open_on(state, action, now)
        case Serve(request, stream):
            plays.serve(state, request, stream, now)
        case SendThere():
            elsewhere.send_there(state, action, now)
        case Fail():
            plays.fail(state, rules, action, now)
        case Supersede():
            plays.supersede(state, action, now)
        case StopSession(slot, incarnation, hold):
            holds.stopping(state, (slot, incarnation), hold, now)
        case SeeReaders():
            state.seeing = True
        case _:
            assert_never(action)
