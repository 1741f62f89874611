"""Whatever the rules make of an engine or a stream comes back from the database."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from acekeeper.adapters.backlog import Backlog
from acekeeper.adapters.database import Contents, connect, read, save
from acekeeper.adapters.rows import (
    engine_row,
    read_at_least,
    read_breaker,
    read_build,
    read_early_end,
    read_engine,
    read_hold,
    read_stream,
    stream_row,
)
from acekeeper.core.build import Build
from acekeeper.core.changes import Changes
from acekeeper.core.doubt import Content
from acekeeper.core.gateway.model import Hold, Ref
from acekeeper.core.model import (
    Breaker,
    ByGateway,
    Draining,
    EarlyEnd,
    Engine,
    Health,
    KeyType,
    Now,
    Opening,
    Probe,
    Stopping,
    Stream,
)
from acekeeper.core.names import HERE, Slot
from acekeeper.core.vpn import Behind
from acekeeper.core.way_out import Route, WayOut

from .storing import stream

NOW = Now(2e9, 5e6)
_FORGOTTEN: dict[str, Any] = {  # each of them begins anew in the next run
    "build": Build(),
    "settled": False,
    "probe": Probe(),
    "against": None,
    "cleared": None,
    "hunger": None,
}

texts = st.text(max_size=20)
instants = st.floats(0, NOW.wall).map(NOW.of_wall)
maybe = st.none() | instants
ports = st.integers(1, 65535)
slots = st.builds(Slot, st.just(HERE), ports)
routes = st.builds(Route, texts, texts, texts, st.booleans())
ENGINES: dict[str, st.SearchStrategy[Any]] = {
    "slot": slots,
    "created": instants,
    "incarnation": st.text(min_size=1, max_size=20),
    "container_id": texts,
    "behind": st.none() | st.builds(Behind, texts, texts, st.integers(0, 65535)),
    "way_out": st.none() | st.builds(WayOut, st.none() | routes, st.lists(texts).map(tuple)),
    "addresses": st.lists(st.ip_addresses(v=4).map(str), min_size=1, max_size=3).map(tuple),
    "build": st.builds(Build, texts, texts),
    "health": st.sampled_from(Health),
    "labels": st.dictionaries(texts, texts, max_size=3),
    "started": maybe,
    "ready": maybe,
    "settled": st.booleans(),
    "seen": maybe,
    "checked": maybe,
    "used": maybe,
    "free_since": maybe,
    "handed": maybe,
    "claim": st.none() | texts,
    "drain": st.none() | st.builds(Draining, texts, instants, st.booleans(), maybe, st.booleans()),
    "stop": st.none() | st.builds(Stopping, texts, maybe),
    "probe": st.builds(Probe, st.integers(0, 9), st.booleans(), st.booleans(), maybe, maybe),
    "unlisted": maybe,
    "unhealthy": maybe,
    "against": st.none(),
    "cleared": st.none(),
    "hunger": st.none(),
}
openings = st.builds(Opening, texts, texts, texts, st.booleans(), st.booleans(), st.integers(-1, 9))
STREAMS: dict[str, st.SearchStrategy[Any]] = {
    "id": texts,
    "key_type": st.sampled_from(KeyType),
    "key": texts,
    "session": texts,
    "stat_url": texts,
    "own_command_url": st.none() | texts.map("own:".__add__),
    "is_live": st.booleans(),
    "address": st.tuples(texts, ports),
    "also": st.lists(st.tuples(texts, ports), max_size=2).map(tuple),
    "named": texts,
    "started": instants,
    "slot": st.none() | slots,
    "incarnation": texts,
    "container_id": texts,
    "ended": maybe,
    "reason": texts,
    "gateway": st.none()
    | st.builds(
        ByGateway,
        opening=openings,
        player=texts,
        arrival=texts,
        as_json=st.booleans(),
        is_hls=st.booleans(),
        query=texts,
        tokens=st.lists(texts, max_size=2).map(tuple),
        moved=st.booleans(),
    ),
}
HOLDS: dict[str, st.SearchStrategy[Any]] = {
    "content": st.builds(Content, texts, texts),
    "infohash": texts,
    "token": texts,
    "is_hls": st.booleans(),
    "since": instants,
    "opening": texts,
    "stopping": st.booleans(),
    "retry": st.floats(0, NOW.mono),
}
holds = st.fixed_dictionaries(HOLDS).map(lambda values: Hold(**values))


engines = st.fixed_dictionaries(ENGINES).map(lambda values: Engine(**values))


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    with closing(connect(tmp_path_factory.mktemp("rows") / "acekeeper.db")) as db:
        db.execute("PRAGMA synchronous = OFF")
        yield db


def saved_and_read(db: sqlite3.Connection, changes: Changes) -> Contents:
    backlog = Backlog()
    backlog.add(changes, NOW.wall)
    db.executescript(
        "DELETE FROM engines; DELETE FROM streams; DELETE FROM holds; DELETE FROM early_ends;"
        " DELETE FROM kept"
    )
    save(db, backlog.unsaved)
    return read(db)


def test_every_field_is_looked_at() -> None:
    assert set(ENGINES) == set(Engine.__struct_fields__)
    assert set(STREAMS) == set(Stream.__struct_fields__)
    assert set(HOLDS) == set(Hold.__struct_fields__)


@given(engine=engines)
def test_an_engine(db: sqlite3.Connection, engine: Engine) -> None:
    found = saved_and_read(db, Changes(engines={engine.slot: engine}))
    expected = replace(
        engine,
        **_FORGOTTEN,
        claim=engine.claim if engine.handed else None,
        drain=Draining(engine.drain.reason, engine.drain.since) if engine.drain else None,
        stop=Stopping(engine.stop.reason) if engine.stop else None,
    )
    assert [read_engine(row, NOW) for row in found.engines] == [expected]


@given(stream=st.fixed_dictionaries(STREAMS).map(lambda values: Stream(**values)))
def test_a_stream(db: sqlite3.Connection, stream: Stream) -> None:
    found = saved_and_read(db, Changes(streams={stream.id: stream}))
    rows = found.ended if stream.ended else found.started
    assert [read_stream(row, NOW) for row in rows] == [stream]


def test_what_rows_of_streams_say_alike_is_there_once(db: sqlite3.Connection) -> None:
    told = [stream(i, reason="eof", ended=NOW) for i in "ab"]
    found = saved_and_read(db, Changes(streams={each.id: each for each in told}))
    one, other = (read_stream(row, NOW) for row in found.ended)
    assert one.key is other.key
    assert one.incarnation is other.incarnation
    assert one.reason is other.reason


def test_the_command_url_is_in_the_row_also_where_it_is_derived() -> None:
    told = stream("s", stat_url="http://h/ace/stat/k/s", own_command_url=None)
    assert "http://h/ace/cmd/k/s" in stream_row(told)
    assert read_stream(stream_row(told), NOW).own_command_url is None


@given(
    ref=st.tuples(slots, st.text(min_size=1, max_size=20)),
    given_holds=st.lists(holds, max_size=3, unique_by=lambda h: h.kept),
)
def test_holds(db: sqlite3.Connection, ref: Ref, given_holds: list[Hold]) -> None:
    """What is under way is not known any more."""
    found = saved_and_read(db, Changes(holds={ref: tuple(given_holds)}))
    kept = [Hold(h.content, h.since, h.infohash, h.token, h.is_hls) for h in given_holds]
    there = [read_hold(row, NOW) for row in found.holds]
    assert sorted(there, key=repr) == sorted(((ref, hold) for hold in kept), key=repr)


@given(
    breaker=st.builds(Breaker, st.integers(0, 99), maybe, maybe),
    end=st.tuples(texts, st.builds(EarlyEnd, instants, texts)),
    boot=texts,
    at_least=st.integers(0, 99),
    build=st.builds(Build, texts, texts),
)
def test_the_rest(
    db: sqlite3.Connection,
    breaker: Breaker,
    end: tuple[str, EarlyEnd],
    boot: str,
    at_least: int,
    build: Build,
) -> None:
    changes = Changes(
        early_ends=dict([end]), breaker=breaker, boot=boot, at_least=at_least, build=build
    )
    found = saved_and_read(db, changes)
    assert [read_early_end(row, NOW) for row in found.early_ends] == [end]
    kept = {row[0]: row for row in found.kept}
    assert read_breaker(kept["breaker"], NOW) == breaker
    assert kept["boot"] == ("boot", boot)
    assert read_at_least(kept["at_least"], NOW) == at_least
    assert read_build(kept["build"], NOW) == build


def test_a_claim_that_was_not_answered_is_over() -> None:
    engine = Engine(slot=Slot("h", 1), incarnation="s", created=NOW, claim="r")
    assert read_engine(engine_row(engine), NOW).claim is None


def test_a_claim_lasts_no_longer_because_the_clock_was_set_back() -> None:
    handed = Now(1000.0, 50.0)
    row = engine_row(
        Engine(slot=Slot("h", 1), incarnation="s", created=handed, handed=handed, claim="r")
    )
    assert read_engine(row, Now(400.0, 7.0)).claimed_until == Now(1060.0, 67.0)
