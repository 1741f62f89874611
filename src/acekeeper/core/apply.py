"""The one place where the state changes."""

from typing import assert_never, get_args

from msgspec.structs import replace

from acekeeper.core import (
    admission,
    callers,
    health,
    lifecycle,
    network,
    operator,
    playback,
    rollout,
    runs,
    scaling,
    streams,
    tunnels,
)
from acekeeper.core.actions import (
    Action,
    Answer,
    Ask,
    AskStreams,
    Check,
    Drain,
    GiveWay,
    Grant,
    Refuse,
    Settle,
    Start,
    Stop,
    TakeBack,
    TrustNetwork,
    TrustPort,
    Try,
    Turn,
)
from acekeeper.core.changes import Changes
from acekeeper.core.facts import (
    ActionTaken,
    AnswerDelivered,
    AnswerLost,
    ConnectionsSeen,
    EngineAnswered,
    EngineDied,
    EngineIdentified,
    EngineSilent,
    EnginesListed,
    EnginesSurveyed,
    EngineStarted,
    EngineStartFailed,
    EngineStopFailed,
    Fact,
    OperatorAsked,
    PlaybackAnswered,
    PlaybackFailed,
    ProvisionRequested,
    RuntimeChecked,
    RuntimeConnected,
    RuntimeLost,
    SourceAsked,
    StreamEnded,
    StreamsAsked,
    StreamStarted,
    TimePassed,
    VpnFact,
    WayOutSeen,
)
from acekeeper.core.fleet import members
from acekeeper.core.fleet.actions import AskHost, Drop, FleetAction, Sync
from acekeeper.core.fleet.facts import FleetFact
from acekeeper.core.gateway import elsewhere, plays, readers
from acekeeper.core.gateway.actions import GatewayAction
from acekeeper.core.gateway.apply import take, told
from acekeeper.core.gateway.facts import GatewayFact
from acekeeper.core.model import Now
from acekeeper.core.rules import Rules
from acekeeper.core.runs import ServiceStarted, ServiceStopped
from acekeeper.core.state import State

# And of the fleet, in which only players matter: what is heard of it again and again has nothing of
# theirs brought to disk.
_OF_GATEWAY = frozenset(
    get_args(GatewayFact) + get_args(GatewayAction) + get_args(FleetFact) + get_args(FleetAction)
)


def apply(state: State, rules: Rules, fact: Fact, now: Now) -> Changes:
    """Changes `state` by one fact and says what changed."""
    enter(state, rules, fact, now)
    return state.changed()


def enter(state: State, rules: Rules, fact: Fact, now: Now) -> None:
    """Changes `state` by one of several facts; what they changed is said of all together."""
    cause = fact.action if isinstance(fact, ActionTaken) else fact
    state.changes.of_gateway &= type(cause) in _OF_GATEWAY
    match fact:
        case StreamStarted():
            streams.forget_old(state, rules, now, streams.WITH_AN_EVENT)
            streams.stream_started(state, rules, fact, now)
        case StreamEnded():
            streams.forget_old(state, rules, now, streams.WITH_AN_EVENT)
            streams.stream_ended(state, rules, fact, now)
        case RuntimeConnected() | RuntimeLost() | RuntimeChecked() | SourceAsked():
            lifecycle.runtime_told(state, rules, fact, now)
        case WayOutSeen(way):
            network.told(state, way, now)
        case EnginesListed():
            lifecycle.engines_listed(state, rules, fact, now)
        case EngineStarted():
            lifecycle.engine_started(state, rules, fact, now)
        case EngineIdentified():
            lifecycle.engine_identified(state, rules, fact, now)
        case EngineStartFailed():
            lifecycle.start_failed(state, rules, fact, now)
        case EngineDied():
            lifecycle.engine_died(state, rules, fact, now)
        case EngineStopFailed():
            lifecycle.stop_failed(state, rules, fact, now)
        case EngineAnswered():
            health.engine_answered(state, rules, fact, now)
        case EngineSilent():
            health.engine_silent(state, rules, fact, now)
        case EnginesSurveyed():
            health.engines_surveyed(state, fact, now)
        case PlaybackAnswered():
            playback.answered(state, rules, fact, now)
        case PlaybackFailed():
            playback.failed(state, rules, fact, now)
        case StreamsAsked():
            scaling.looked(state, rules, fact, now)
            streams.streams_asked(state, rules, fact, now)
        case ConnectionsSeen():
            lifecycle.source_asked(state, "connections")
            callers.seen(state, rules, fact, now)
            callers.end_unread(state, rules, now)
            readers.end_idle(state, rules, now)
        case ProvisionRequested():
            admission.provision_requested(state, fact, now)
        case AnswerDelivered(request):
            admission.answer_delivered(state, request)
        case AnswerLost(request):
            admission.answer_lost(state, request, now)
        case ServiceStarted() | ServiceStopped():
            runs.told(state, fact)
        case ActionTaken(action):
            _take(state, rules, action, now)
        case TimePassed():
            admission.lapse_claims(state, rules, now)
            streams.forget_old(state, rules, now)
            plays.forget_old(state, rules, now)
            members.lapse(state, rules, now)
        case _ if isinstance(fact, VpnFact):
            tunnels.told(state, fact, now)
        case _ if isinstance(fact, FleetFact):
            members.told(state, rules, fact, now)
        case _ if isinstance(fact, OperatorAsked):
            operator.told(state, fact, now)
        case _ if isinstance(fact, GatewayFact):
            told(state, rules, fact, now)
        case _:
            assert_never(fact)


def _take(state: State, rules: Rules, action: Action, now: Now) -> None:
    if isinstance(action, GatewayAction):
        take(state, rules, action, now)
        return
    match action:
        case Start():
            lifecycle.start(state, rules, action, now)
        case Grant(request, slot):
            admission.grant(state, rules, request, slot, now)
        case Answer(request):
            admission.answer(state, request, now)
        case Refuse(request, refusal):
            admission.refuse(state, request, refusal, now)
        case Drain():
            scaling.drain(state, action, now)
        case TakeBack():
            scaling.take_back(state, rules, action, now)
        case Stop():
            lifecycle.stop(state, rules, action, now)
        case Try():
            playback.begin(state, action)
        case GiveWay():
            playback.give_way(state, action)
        case Settle():
            health.settle(state, action)
        case Turn():
            rollout.turned(state, rules, action.rollout, now)
        case Check():
            state.looking = True
        case TrustNetwork():
            network.trusted(state)
        case TrustPort():
            tunnels.trusted(state, action)
        case AskHost():
            elsewhere.ask(state, action, now)
        case Sync() | Drop():
            members.take(state, action, now)
        case Ask(slot, incarnation):
            engine = state.current(slot, incarnation)
            if engine is not None:
                state.put(replace(engine, probe=replace(engine.probe, under_way=True)))
        case AskStreams(slot, incarnation):
            engine = state.current(slot, incarnation)
            if engine is not None and engine.drain is not None:
                state.put(replace(engine, drain=replace(engine.drain, looking=True)))
        case _:
            assert_never(action)
