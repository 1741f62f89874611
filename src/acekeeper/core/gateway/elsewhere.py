"""What becomes of plays that other hosts were asked for."""

from msgspec.structs import replace

from acekeeper.core.fleet.actions import AskHost
from acekeeper.core.fleet.model import Digest
from acekeeper.core.gateway import choice, contents, hosts
from acekeeper.core.gateway.actions import SendThere
from acekeeper.core.gateway.facts import HostDeclined, HostPlayed
from acekeeper.core.gateway.model import Asked, NotPlayed, Play
from acekeeper.core.model import Now
from acekeeper.core.state import State

_SENT_MOST = 1024


def ask(state: State, action: AskHost, now: Now) -> None:
    play = state.plays[action.request]
    asked = Asked(action.host, now.mono, action.may_start)
    state.plays[play.id] = replace(
        play, asked=(*play.asked, asked), tried_hosts=(*play.tried_hosts, asked)
    )


def played(state: State, fact: HostPlayed) -> None:
    host = fact.session.host
    play, asked = _answered(state, fact.request, host)
    digest = _digest(state, host)
    if digest is not None and digest.free > 0:
        _say(state, host, replace(digest, free=digest.free - 1))
    is_of_use = play is not None and asked is not None and play.there is None
    if play is None or not is_of_use or choice.session_for(state, play) is not None:
        drop(state, host, fact.request)
    else:
        state.plays[play.id] = replace(play, there=fact.session)


def declined(state: State, fact: HostDeclined, now: Now) -> None:
    play, asked = _answered(state, fact.request, fact.host)
    if play is None or asked is None:
        return
    has_none = fact.is_away or fact.why is NotPlayed.NO_ENGINE
    if has_none and (digest := _digest(state, fact.host)) is not None:
        room = 0 if asked.may_start or fact.is_away else digest.room
        _say(state, fact.host, replace(digest, free=0, room=room))
    if hosts.sharing(state, play) == fact.host:
        del state.fleet.sent[contents.shared(state, play)]
    if fact.is_away:  # it may be asked as soon as it is heard
        tried = tuple(each for each in play.tried_hosts if each != asked)
        state.plays[play.id] = replace(play, tried_hosts=tried)
    elif fact.why is None:  # nobody knows what it opened
        drop(state, fact.host, play.id)
    elif fact.why is NotPlayed.REFUSED:
        contents.refused(state, play, fact.words, now)


def _answered(state: State, request: str, host: str) -> tuple[Play | None, Asked | None]:
    """The play, without what was asked of that host."""
    play = state.plays.get(request)
    if play is None:
        return None, None
    asked = next((each for each in play.asked if each.host == host), None)
    play = replace(play, asked=tuple(each for each in play.asked if each != asked))
    state.plays[request] = play
    return play, asked


def _digest(state: State, host: str) -> Digest | None:
    replica = state.fleet.hosts.get(host)
    return replica.digest if replica else None


def _say(state: State, host: str, digest: Digest) -> None:
    """By its answer, and until it says so itself."""
    state.fleet.put(replace(state.fleet.hosts[host], digest=digest))


def send_there(state: State, action: SendThere, now: Now) -> None:
    play = state.plays.pop(action.request)
    _remember(state, play, action.session.host)
    give_up(state, replace(play, there=None))
    state.tell(
        "played_elsewhere",
        host=action.session.host,
        player=play.wanted.player,
        key=play.wanted.content.key,
        waited=round(now.mono - play.received.mono, 3),
        tries=len(play.tried_hosts),
    )


def _remember(state: State, play: Play, host: str) -> None:
    """A session there that the next player may share."""
    if (key := contents.shared(state, play)) is not None:
        sent = state.fleet.sent
        sent[key] = host
        sent.move_to_end(key)
        if len(sent) > _SENT_MOST:
            sent.popitem(last=False)


def give_up(state: State, play: Play) -> None:
    """Nothing that hosts were asked for it is wanted any more, and what it got there neither."""
    for asked in play.asked:
        drop(state, asked.host, play.id)
    if play.there is not None:
        drop(state, play.there.host, play.id)


def drop(state: State, host: str, request: str) -> None:
    state.fleet.drops[host, request] = None
    state.changes.fleet = True
