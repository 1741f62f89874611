"""The store on a disk that works."""

import asyncio
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from acekeeper.adapters.backlog import Rows
from acekeeper.adapters.database import connect, save
from acekeeper.adapters.rows import stream_row
from acekeeper.adapters.saved import Saved
from acekeeper.adapters.store import Store
from acekeeper.core.build import Build
from acekeeper.core.changes import Changes, Happening
from acekeeper.core.model import Breaker, ByGateway, EarlyEnd, Engine, Health, Now, Opening, Probe
from acekeeper.errors import StoreFailed

from .storing import (
    ENGINE,
    HOLD,
    NOW,
    OTHER,
    SLOT,
    Disk,
    Levels,
    Troubles,
    next_run,
    running,
    select,
    started,
    stream,
)

HELD = Changes(holds={ENGINE.ref: (HOLD,)}, of_gateway=True)


class Commits:
    """The writes of every commit. The first one lasts until it is released."""

    def __init__(self) -> None:
        self.writes: list[int] = []
        self.begun, self.released = threading.Event(), threading.Event()

    def __call__(self, seconds: float, writes: int) -> None:
        assert seconds > 0
        self.writes.append(writes)
        self.begun.set()
        self.released.wait(20)


async def test_the_next_run_finds_everything(path: Path) -> None:
    ended = stream("old", ended=NOW, reason="eof")
    async with running(path) as store:
        await store.write(
            Changes(
                engines={SLOT: ENGINE},
                streams={"s": stream("s"), "old": ended},
                holds={ENGINE.ref: (HOLD, OTHER)},
                early_ends={"e": EarlyEnd(NOW, "eof")},
                breaker=Breaker(3, NOW, NOW),
                boot="b1",
                at_least=4,
                build=Build("image", "print"),
            )
        )
    saved = await next_run(path)
    assert saved.engines == [ENGINE]
    assert saved.streams == [ended, stream("s")]
    assert saved.holds == [(ENGINE.ref, HOLD), (ENGINE.ref, OTHER)]
    assert saved.early_ends == [("e", EarlyEnd(NOW, "eof"))]
    assert saved.breaker == Breaker(3, NOW, NOW)
    assert saved.boot == "b1"
    assert saved.at_least == 4
    assert saved.build == Build("image", "print")


async def test_nothing_was_saved_before_the_first_run(path: Path) -> None:
    assert await next_run(path) == Saved([], [], [], [], None, "")


async def test_times_are_placed_on_the_clock_of_the_next_run(path: Path) -> None:
    async with running(path) as store:
        await store.write(Changes(engines={SLOT: ENGINE}))
    saved = await next_run(path, Now(NOW.wall + 60, 5.0))
    assert saved.engines[0].ready == Now(NOW.wall, -55.0)


async def test_only_its_owner_can_read_it_and_a_commit_is_synced(path: Path) -> None:
    disk = Disk()
    async with running(path, connect=disk) as store:
        await store.write(started("s"))
        assert disk.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert disk.db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert path.parent.stat().st_mode & 0o777 == 0o700
        files = list(path.parent.iterdir())
        assert {f.name for f in files} == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
        assert {f.stat().st_mode & 0o777 for f in files} == {0o600}


async def test_only_what_players_of_the_gateway_do_need_not_outlive_the_host(path: Path) -> None:
    disk = Disk()
    levels = Levels(disk)
    async with running(path, connect=disk, on_commit=levels) as store:
        await store.write(HELD)
        await store.write(started("s"))
        await store.write(Changes(holds={ENGINE.ref: ()}, of_gateway=True))
        await store.write(Changes(of_gateway=True))
    assert levels.seen == [1, 2, 1]


async def test_a_caller_who_says_what_the_gateway_knows_has_it_on_disk(path: Path) -> None:
    """Its event changes nothing, and yet what it is told is kept has to be."""
    disk = Disk()
    levels = Levels(disk)
    async with running(path, connect=disk, on_commit=levels) as store:
        await store.write(HELD)
        await store.write(Changes())
        assert levels.seen == [1, 2]
        await store.write(Changes())
        assert levels.seen == [1, 2]


async def test_what_is_queued_with_a_promise_is_on_disk_with_it(path: Path) -> None:
    disk, commits = Disk(), Commits()
    levels = Levels(disk)

    def committed(seconds: float, writes: int) -> None:
        levels()
        commits(seconds, writes)

    async with running(path, connect=disk, on_commit=committed) as store:
        writes = [store.write(HELD)]
        assert commits.begun.wait(20)
        writes += [store.write(started("s")), store.write(HELD), store.write(HELD)]
        commits.released.set()
        await asyncio.gather(*writes)
    assert levels.seen == [1, 2]


async def test_a_burst_takes_few_statements(path: Path) -> None:
    """Between two of them the writer waits for the interpreter."""
    disk = Disk()
    statements: list[str] = []
    async with running(path, connect=disk) as store:
        await store.write(started("first"))
        disk.db.set_trace_callback(statements.append)
        happened = [Happening("a", SLOT, f"s{n}") for n in range(1000)]
        burst = started(*(f"s{n}" for n in range(1000)))
        await store.write(replace(burst, happened=happened))
        disk.db.set_trace_callback(None)
    assert len(statements) < 40
    assert select(path, "SELECT count(*) FROM streams") == [(1001,)]
    assert select(path, "SELECT count(DISTINCT stream) FROM log WHERE kind = 'a'") == [(1000,)]


async def test_what_is_queued_during_a_commit_goes_into_the_next(path: Path) -> None:
    commits = Commits()
    async with running(path, on_commit=commits) as store:
        first = store.write(started("first"))
        assert commits.begun.wait(20)
        rest = [store.write(started(f"s{n}")) for n in range(500)]
        assert store.waiting == 500
        commits.released.set()
        await asyncio.gather(first, *rest)
    assert commits.writes == [1, 500]
    assert select(path, "SELECT count(*) FROM streams") == [(501,)]


async def test_an_empty_write_waits_for_those_before_it(path: Path) -> None:
    commits = Commits()
    async with running(path, on_commit=commits) as store:
        store.write(started("first"))
        assert commits.begun.wait(20)
        store.write(started("second"))
        barrier = store.write(Changes())
        assert not barrier.done()
        commits.released.set()
        await barrier
        assert select(path, "SELECT id FROM streams") == [("first",), ("second",)]


async def test_an_empty_write_waits_for_the_last_also_when_those_before_that_are_answered(
    path: Path,
) -> None:
    begun, may_end = threading.Semaphore(0), threading.Semaphore(0)

    def commit(*_: object) -> None:
        begun.release()
        may_end.acquire(timeout=20)

    async with running(path, on_commit=commit) as store:
        first = store.write(started("first"))
        assert begun.acquire(timeout=20)
        second = store.write(started("second"))
        may_end.release()
        await first
        barrier = store.write(Changes())
        assert not barrier.done()
        may_end.release()
        await second
        assert barrier.done()


async def test_an_empty_write_does_not_wake_the_writer(path: Path) -> None:
    async with running(path) as store:
        await store.write(started("first"))
        barriers = [store.write(Changes()) for _ in range(3)]
        assert store.waiting == 0
        assert all(barrier.done() for barrier in barriers)
        second = store.write(started("second"))
        barrier = store.write(Changes())
        await second
        assert barrier.done()


async def test_what_means_nothing_after_a_restart_is_not_written(path: Path) -> None:
    commits = Commits()
    commits.released.set()
    async with running(path, on_commit=commits) as store:
        playing = stream("s")
        await store.write(Changes(engines={SLOT: ENGINE}, streams={"s": playing}))
        probed = replace(ENGINE, probe=Probe(1, judged=NOW), seen=NOW, checked=NOW)
        await store.write(Changes(engines={SLOT: probed}, streams={"s": replace(playing)}))
        assert len(commits.writes) == 1
        await store.write(Changes(engines={SLOT: replace(probed, health=Health.HEALTHY)}))
        assert len(commits.writes) == 2
    async with running(path, on_commit=commits) as store:
        await store.write(Changes(engines={SLOT: replace(probed, health=Health.HEALTHY)}))
    assert len(commits.writes) == 2
    assert (await next_run(path)).engines[0].seen == NOW


async def test_an_engine_is_kept_from_when_it_has_a_start(path: Path) -> None:
    async with running(path) as store:
        await store.write(Changes(engines={SLOT: replace(ENGINE, incarnation="")}))
    assert select(path, "SELECT * FROM engines") == []


@pytest.mark.parametrize("follower", [None, replace(ENGINE, incarnation="second")])
async def test_an_engine_that_went_is_history(path: Path, follower: Engine | None) -> None:
    before = time.time()
    async with running(path) as store:
        await store.write(Changes(engines={SLOT: ENGINE}))
    async with running(path) as store:
        await store.write(Changes(engines={SLOT: replace(ENGINE, health=Health.HEALTHY)}))
        await store.write(Changes(engines={SLOT: follower}))
    gone = select(path, "SELECT start, health, gone FROM engines WHERE gone IS NOT NULL")
    assert [row[:2] for row in gone] == [("first", "healthy")]
    assert before <= gone[0][2] <= time.time()
    assert (await next_run(path)).engines == ([follower] if follower else [])


async def test_a_stream_dropped_from_memory_stays_as_history(path: Path) -> None:
    ended = stream("ended", ended=NOW, reason="eof")
    async with running(path) as store:
        await store.write(Changes(streams={"ended": ended, "unfollowed": stream("unfollowed")}))
        await store.write(Changes(streams={"ended": None, "unfollowed": None}))
    assert select(path, "SELECT id, reason FROM streams WHERE ended IS NOT NULL ORDER BY id") == [
        ("ended", "eof"),
        ("unfollowed", "forgotten"),
    ]


async def test_early_ends_are_deleted_when_nobody_needs_them(path: Path) -> None:
    names = [f"e{n}" for n in range(4)]
    async with running(path) as store:
        await store.write(Changes(early_ends=dict.fromkeys(names, EarlyEnd(NOW, "eof"))))
        await store.write(Changes(early_ends=dict.fromkeys(names[:3])))
    saved = await next_run(path)
    assert [name for name, _ in saved.early_ends] == names[3:]


async def test_what_is_held_on_an_engine_is_what_was_told_last(path: Path) -> None:
    elsewhere = (ENGINE.slot, "second")
    async with running(path) as store:
        await store.write(Changes(holds={ENGINE.ref: (HOLD,), elsewhere: (HOLD,)}))
        await store.write(Changes(holds={ENGINE.ref: (OTHER,)}, streams={"s": stream("s")}))
        assert select(path, "SELECT start, token FROM holds ORDER BY start, token") == [
            ("first", "token"),
            ("second", ""),
        ]
        await store.write(Changes(holds={elsewhere: ()}))
    assert (await next_run(path)).holds == [(ENGINE.ref, OTHER)]


async def test_a_hold_that_changes_in_what_is_not_kept_costs_no_write(path: Path) -> None:
    commits: list[float] = []
    async with running(path, on_commit=lambda seconds, _: commits.append(seconds)) as store:
        await store.write(Changes(holds={ENGINE.ref: (HOLD,)}))
        await store.write(Changes(holds={ENGINE.ref: (replace(HOLD, stopping=True),)}))
    assert len(commits) == 1


async def test_what_happened_is_logged(path: Path) -> None:
    before = time.time()
    long = {"why": "x" * 5000}
    happened = [
        Happening("a", SLOT, "", {"n": 1}),
        Happening("b"),
        Happening("c", data=long),
        Happening("d", data={"broken": "\udce9"}),
    ]
    async with running(path) as store:
        await store.write(Changes(happened=happened))
    logged = select(path, "SELECT ts, kind, host, port, stream, data FROM log ORDER BY id")[1:]
    assert [row[1:] for row in logged] == [
        ("a", *SLOT, "", '{"n":1}'),
        ("b", None, None, "", "{}"),
        ("c", None, None, "", f'{{"why":"{"x" * 1000}"}}'),
        ("d", None, None, "", '{"broken": "\\udce9"}'),
    ]
    assert before <= logged[0][0] <= time.time()


async def test_the_newest_ended_streams_are_loaded_oldest_first(path: Path) -> None:
    ended = [stream(f"s{n}", ended=Now(NOW.wall - n, 0)) for n in range(10_001)]
    with closing(connect(path)) as db:
        save(db, Rows(streams={s.id: stream_row(s) for s in ended}))
    saved = await next_run(path)
    assert [s.id for s in saved.streams] == [f"s{n}" for n in reversed(range(10_000))]


async def test_old_history_is_pruned(path: Path) -> None:
    old, recent = Now(time.time() - 8 * 86_400, 0), Now(time.time() - 6 * 86_400, 0)
    many = {f"old{n}": stream(f"old{n}", ended=old) for n in range(600)}
    async with running(path) as store:
        await store.write(
            Changes(
                engines={SLOT: ENGINE},
                streams={
                    **many,
                    "recent": stream("recent", ended=recent),
                    "playing": stream("playing", started=old),
                },
                happened=[Happening("old"), Happening("recent")],
            )
        )
        await store.write(Changes(engines={SLOT: replace(ENGINE, incarnation="second")}))
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE log SET ts = ? WHERE kind = 'old'", (old.wall,))
        db.execute("UPDATE engines SET gone = ? WHERE start = 'first'", (old.wall,))
        db.commit()
    async with running(path) as store:
        for _ in range(4):  # the writer deletes a little after every batch
            await store.write(Changes(boot="b1"))
    assert select(path, "SELECT id FROM streams ORDER BY id") == [("playing",), ("recent",)]
    assert select(path, "SELECT kind FROM log ORDER BY id") == [("log_begun",), ("recent",)]
    assert select(path, "SELECT start FROM engines") == [("second",)]


async def test_a_newer_versions_database_is_used_as_it_is(path: Path) -> None:
    async with running(path) as store:
        await store.write(Changes(engines={SLOT: ENGINE}))
    with closing(sqlite3.connect(path)) as db:
        db.executescript("PRAGMA user_version = 99; ALTER TABLE engines ADD COLUMN mood TEXT")
        db.execute("UPDATE engines SET mood = 'fine'")
        db.commit()
    async with running(path) as store:
        await store.write(Changes(engines={SLOT: replace(ENGINE, health=Health.HEALTHY)}))
    assert select(path, "SELECT health, mood FROM engines") == [("healthy", "fine")]
    assert select(path, "PRAGMA user_version") == [(99,)]


async def test_a_database_of_a_version_without_the_gateway_is_read_on(path: Path) -> None:
    by_gateway = ByGateway(
        opening=Opening("i" * 40, "token", "session", is_live=True),
        player="192.0.2.1",
        arrival="192.0.2.9",
        as_json=True,
        is_hls=False,
        query="",
    )
    async with running(path) as store:
        await store.write(started("old"))
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "ALTER TABLE streams DROP COLUMN gateway; DROP TABLE holds;"
            " ALTER TABLE engines DROP COLUMN addresses;"
            " ALTER TABLE engines DROP COLUMN way_out;"
            " ALTER TABLE engines DROP COLUMN behind; PRAGMA user_version = 4"
        )
    async with running(path) as store:
        new = stream("new", gateway=by_gateway)
        await store.write(Changes(streams={"new": new}, holds={ENGINE.ref: (HOLD,)}))
    saved = await next_run(path)
    assert {s.id: s.gateway for s in saved.streams} == {"old": None, "new": by_gateway}
    assert saved.holds == [(ENGINE.ref, HOLD)]


async def test_what_an_older_version_wrote_has_its_one_address(path: Path) -> None:
    async with running(path) as store:
        await store.write(Changes(streams={"old": replace(stream("old"), named="id")}))
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "ALTER TABLE streams DROP COLUMN told; ALTER TABLE streams DROP COLUMN gateway;"
            " ALTER TABLE engines DROP COLUMN addresses;"
            " ALTER TABLE engines DROP COLUMN way_out;"
            " ALTER TABLE engines DROP COLUMN behind; DROP TABLE holds; PRAGMA user_version = 3"
        )
    async with running(path) as store:
        await store.write(Changes(streams={"new": replace(stream("new"), also=(("h", 1),))}))
    store = Store(path, 7)
    saved = store.load(NOW)
    await store.close()
    told = {s.id: (s.address, s.also, s.named) for s in saved.streams}
    address = stream("old").address
    assert told == {"old": (address, (), ""), "new": (address, (("h", 1),), "")}


BOTH = ("127.0.0.1", "192.0.2.5")


async def test_engines_an_older_version_called_by_another_address_are_the_same(path: Path) -> None:
    async with running(path) as store:
        await store.write(Changes(engines={SLOT: ENGINE}, streams={"s": stream("s")}))
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "ALTER TABLE engines DROP COLUMN addresses; ALTER TABLE engines DROP COLUMN way_out;"
            "ALTER TABLE engines DROP COLUMN behind;"
            "ALTER TABLE streams DROP COLUMN gateway; DROP TABLE holds;"
            "CREATE TEMP TABLE other AS SELECT * FROM engines;"  # it was called by both
            "UPDATE other SET host = '192.0.2.5';"
            "INSERT INTO engines SELECT * FROM other;"
            "UPDATE streams SET host = '192.0.2.5';"
            "PRAGMA user_version = 4"
        )
        db.commit()
    async with running(path) as store:
        await store.write(Changes(engines={SLOT: replace(ENGINE, addresses=BOTH)}))
    saved = await next_run(path)
    assert [(e.ref, e.addresses) for e in saved.engines] == [(ENGINE.ref, BOTH)]
    assert [s.slot for s in saved.streams] == [SLOT]
    assert select(path, "SELECT count(*) FROM engines") == [(1,)]


async def test_a_row_nobody_understands_costs_only_itself(path: Path) -> None:
    async with running(path) as store:
        await store.write(Changes(streams={"a": stream("a"), "b": stream("b")}, breaker=Breaker(1)))
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE streams SET key_type = 'hologram' WHERE id = 'a'")
        db.execute("UPDATE kept SET value = '?' WHERE name = 'breaker'")
        db.commit()
    told: list[str] = []
    store = Store(path, 7, on_trouble=told.append)
    saved = store.load(NOW)
    await store.close()
    assert saved.streams == [stream("b")]
    assert saved.breaker is None
    assert "hologram" in told[0]


async def test_a_caller_who_goes_away_costs_nobody_else_anything(path: Path) -> None:
    commits = Commits()
    async with running(path, on_commit=commits) as store:
        gone = store.write(started("gone"))
        other = store.write(started("other"))
        gone.cancel()
        commits.released.set()
        await other
        await store.write(started("next"))
    assert select(path, "SELECT count(*) FROM streams") == [(3,)]


async def test_close_writes_what_is_queued_and_empties_the_log(path: Path) -> None:
    commits = Commits()
    store = Store(path, 7, on_commit=commits)
    store.load(NOW)
    futures = [store.write(started("a"))]
    assert commits.begun.wait(20)
    futures.append(store.write(started("b")))
    commits.released.set()
    await store.close()
    await asyncio.gather(*futures)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with pytest.raises(StoreFailed, match="closed"):
        await store.write(started("late"))


class Odd:
    def __str__(self) -> str:
        raise ValueError


async def test_changes_that_cannot_be_written_do_not_end_the_writer(path: Path) -> None:
    troubles = Troubles()
    async with running(path, on_trouble=troubles) as store:
        with pytest.raises(StoreFailed, match="does not fit"):
            await store.write(Changes(happened=[Happening("odd", data={"x": Odd()})]))
        await troubles.over()
        await store.write(started("s"))
