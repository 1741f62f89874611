"""Facts of players and of what engines answer them, as they may come in the worst case."""

from hypothesis import strategies as st

from acekeeper.core.doubt import Content
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
from acekeeper.core.gateway.model import Elsewhere, Hold, NotPlayed, Wanted
from acekeeper.core.model import Now, Opening
from acekeeper.core.names import HERE, Slot

NEVER = Now(0.0, 0.0)  # replaced by whoever tells it

slots = st.integers(0, 3).map(lambda n: Slot(HERE, 19000 + n))
starts = st.sampled_from(["a", "b", "c"])
plays = st.sampled_from(["p1", "p2", "p3", "p4"])
keys = st.sampled_from(["0" * 40, "1" * 40])
contents = st.builds(Content, st.sampled_from(["infohash", "content_id"]), keys)
tokens = st.sampled_from(["t1", "t2", "t3"])
ids = st.builds("{}|{}".format, keys, tokens)
wanted = st.builds(
    lambda content, form, player: Wanted(
        content=content,
        is_hls=form == "hls",
        as_json=form == "json",
        player=player,
        arrival=HERE,
    ),
    contents,
    st.sampled_from(["", "json", "hls"]),
    st.sampled_from(["192.0.2.1", "192.0.2.2"]),
)
openings = st.builds(Opening, keys, tokens, st.just("name"), st.booleans())
hosts = st.sampled_from(["b", "c"])
elsewhere = st.builds(
    Elsewhere, host=hosts, origin=st.just("http://b"), opening=openings, is_hls=st.booleans()
)
held = st.builds(Hold, contents, st.just(NEVER), keys | st.just(""), tokens | st.just(""))
facts: st.SearchStrategy[GatewayFact] = st.one_of(
    st.builds(
        PlayRequested,
        plays,
        wanted,
        st.just(NEVER),
        st.sampled_from([9.0, 25.0]),
        st.just("") | ids,
        st.sampled_from(["", "", "b"]),
        st.booleans(),
    ),
    st.builds(PlayOpened, slots, starts, plays, openings),
    st.builds(PlayRefused, slots, starts, plays, st.just("no such content")),
    st.builds(PlaySilent, slots, starts, plays, st.just("why"), st.booleans(), st.booleans()),
    st.builds(PlayerLeft, plays, st.just("") | ids, st.just("") | hosts),
    st.builds(HostPlayed, plays, elsewhere),
    st.builds(
        HostDeclined, plays, hosts, st.just("why"), st.none() | st.sampled_from(list(NotPlayed))
    ),
    st.builds(ReaderCame, ids),
    st.builds(ReaderSent, ids),
    st.builds(ReaderLeft, ids),
    st.builds(SessionRead, ids),
    st.builds(StopAsked, ids),
    st.builds(SessionStopped, slots, starts, held),
    st.builds(SessionNotStopped, slots, starts, held, st.just("why")),
    st.builds(ReadersSeen, st.just(NEVER), st.frozensets(st.tuples(slots, starts))),
)
