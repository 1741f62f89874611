"""Plays across hosts: this one asks others to play for its players, and plays for theirs."""

import asyncio
from asyncio import Task
from collections.abc import Callable, Sequence

from loguru import logger
from msgspec.structs import replace

from acekeeper.core.doubt import Content
from acekeeper.core.fleet.actions import AskHost, Drop
from acekeeper.core.gateway.facts import HostDeclined, HostPlayed, PlayRequested
from acekeeper.core.gateway.model import Declined, Elsewhere, HostAnswer, NotPlayed, PlayAsk, Wanted
from acekeeper.core.model import KeyType, Stream
from acekeeper.errors import Failure, NoAnswer
from acekeeper.setting_kinds import Network
from acekeeper.usecases import admitted
from acekeeper.usecases.defects import defect
from acekeeper.usecases.gateway import Failed
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.protocols import Bus
from acekeeper.usecases.requests import left, longest_wait, play_here

_KNOWN_MOST = 4096
_QUERY_MOST = 8192  # as much as the gateway takes
_DROPPED = Declined(NotPlayed.NO_ENGINE, "it is not wanted any more")

_Asked = tuple[str, str]  # the host that asks, and its name for it


class Plays:
    """`allowed`: the networks whose players may play here. `may_name_urls`: they may ask for a
    `url` or a `magnet`. `origin`: of the gateway of this host, for players of others. `answered` is
    told how each ask of ours ended, by host."""

    def __init__(
        self,
        loop: Loop,
        bus: Bus,
        allowed: Sequence[Network],
        may_name_urls: bool,
        origin: str,
        answered: Callable[[str, HostAnswer], None] = lambda *_: None,
    ) -> None:
        self._loop = loop
        self._bus = bus
        self._allowed = allowed
        self._may_name_urls = may_name_urls
        self._origin = origin
        self._answered = answered
        # What others asked for, the oldest first; what they gave up before it was heard is None.
        self._known: dict[_Asked, Task[Stream | Failed] | None] = {}

    def ask(self, action: AskHost) -> None:
        self._loop.spawn(self._ask(action, self._loop.state.plays[action.request].wanted))

    def drop(self, action: Drop) -> None:
        self._bus.drop(action.host, action.request)

    async def _ask(self, action: AskHost, wanted: Wanted) -> None:
        host, request, rules = action.host, action.request, self._loop.rules
        if admitted.is_of_this_host(wanted.player, wanted.arrival):
            wanted = replace(wanted, player=rules.fleet_address)
        asked = PlayAsk(
            request=request, wanted=wanted, within=action.within, may_start=action.may_start
        )
        try:
            answer = await self._bus.play(host, asked)
        except NoAnswer as error:
            is_away = error.failure is Failure.UNREACHABLE
            self._answered(host, HostAnswer.UNREACHABLE if is_away else HostAnswer.SILENT)
            self._loop.tell(HostDeclined(request, host, str(error), is_away=is_away))
        except Exception as error:
            defect(error)
            self._loop.tell(HostDeclined(request, host, repr(error)))
        else:
            if isinstance(answer, Elsewhere):
                self._answered(host, HostAnswer.PLAYED)
                self._loop.tell(HostPlayed(request, replace(answer, host=host)))
            else:
                self._answered(host, HostAnswer(answer.why.value))
                self._loop.tell(HostDeclined(request, host, answer.words, answer.why))

    async def asked(self, host: str, ask: PlayAsk) -> Elsewhere | Declined:
        """The same request gets the same session, as long as that is there. Cancelled: nobody waits
        for the answer."""
        key = host, ask.request
        if key not in self._known:
            try:
                wanted = self._admitted(ask.wanted)
            except ValueError as error:
                logger.info(
                    "player_not_admitted", host=host, player=ask.wanted.player, why=str(error)
                )
                return Declined(NotPlayed.NO_ENGINE, str(error))
            self._remember(key, asyncio.create_task(self._play(host, ask, wanted)))
        task = self._known[key]
        if task is None:
            return _DROPPED
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            self._give_back(key)  # it may be asked once more
            raise
        if task.cancelled():
            return _DROPPED
        outcome = _outcome(task)
        is_there = isinstance(outcome, Stream) and self._is_there(outcome)
        if not is_there and self._known.get(key) is task:  # it may be asked once more
            del self._known[key]
        if isinstance(outcome, Failed):
            return Declined(outcome.why, outcome.words)
        if not is_there:  # the answer was long on its way, or was lost
            return await self.asked(host, ask)
        gateway = outcome.gateway
        if gateway is None:
            raise AssertionError("a player of the gateway asked for it")
        return Elsewhere(
            host=self._loop.rules.fleet_host,
            origin=self._origin,
            opening=gateway.opening,
            is_hls=gateway.is_hls,
        )

    def dropped(self, host: str, request: str) -> None:
        key = host, request
        self._give_back(key)
        self._remember(key, None)

    def _is_there(self, session: Stream) -> bool:
        stream = self._loop.state.streams.get(session.id)
        return stream is not None and stream.ended is None

    def _give_back(self, key: _Asked) -> None:
        task = self._known.pop(key, None)
        if task is not None and not task.cancel() and not task.cancelled():
            outcome = _outcome(task)
            if isinstance(outcome, Stream):
                self._loop.tell(left(_name(*key), outcome))

    async def _play(self, host: str, ask: PlayAsk, wanted: Wanted) -> Stream | Failed:
        loop = self._loop
        within = min(ask.within, longest_wait(loop.rules, for_json=wanted.as_json))
        asked = PlayRequested(
            _name(host, ask.request),
            wanted,
            loop.clock(),
            within,
            for_host=host,
            may_start=ask.may_start,
        )
        return await play_here(loop, asked)

    def _admitted(self, wanted: Wanted) -> Wanted:
        """As the gateway's door would admit it. Raises ValueError."""
        arrival, kind = self._loop.rules.fleet_address, KeyType(wanted.content.key_type)
        if not admitted.may_enter(wanted.player, arrival, self._allowed):
            raise ValueError("only players of the networks of GATEWAY_ALLOW may play here")
        if kind in admitted.FETCHED and not self._may_name_urls:
            raise ValueError(f"no {kind.value} is opened here, unless GATEWAY_ALLOW_URLS is set")
        if len(wanted.query) > _QUERY_MOST:
            raise ValueError(f"the query is longer than {_QUERY_MOST} bytes")
        key = admitted.checked(kind, wanted.content.key)
        query = admitted.passed_on(wanted.query)
        return replace(wanted, content=Content(kind.value, key), query=query, arrival=arrival)

    def _remember(self, key: _Asked, task: Task[Stream | Failed] | None) -> None:
        self._known[key] = task
        if len(self._known) > _KNOWN_MOST:
            del self._known[next(iter(self._known))]


def _name(host: str, request: str) -> str:
    return f"{host}:{request}"


def _outcome(task: Task[Stream | Failed]) -> Stream | Failed:
    error = task.exception()
    if error is None:
        return task.result()
    defect(error)
    return Failed(NotPlayed.NO_ENGINE, repr(error), 0)
