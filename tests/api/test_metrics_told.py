"""What a scrape says after something happened."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

import acekeeper
from acekeeper.core.changes import Happening
from acekeeper.core.doubt import Hunger
from acekeeper.core.facts import EngineSilent, StreamsAsked
from acekeeper.core.model import Engine, Sample
from acekeeper.metrics import FAMILIES

from ..requirements.scrape import Scrape
from .bodies import started
from .conftest import Serve, Served

ADAPTERS = Path(acekeeper.__file__).parent / "adapters"


async def provisioned(served: Served) -> Engine:
    """The only one."""
    assert (await served.post("/provision/acestream")).status_code == 200
    [engine] = served.context.state.engines.values()
    return engine


async def test_a_route_has_its_failures_at_0_before_it_has_any(served: Served) -> None:
    await served.get("/engines/absent")
    scrape = await Scrape.of(served)
    statuses = {
        series.labels["status"]: series.value
        for series in scrape.series('orch_api_requests_total{endpoint="/engines/{container_id}"}')
    }
    assert statuses == {"404": 1, "500": 0, "503": 0}


async def test_a_start_by_its_reason(serve: Serve) -> None:
    served: Served = await serve(MIN_REPLICAS="1")
    await served.until(lambda s: any(e.listed for e in s.context.state.engines.values()))
    scrape = await Scrape.of(served)
    assert scrape.value('orch_engine_starts_total{reason="spare"}') == 1
    assert scrape.value('orch_engine_starts_total{reason="request"}') == 0
    assert scrape.value("orch_engines_free") == 1
    await served.post("/provision/acestream")
    scrape = await Scrape.of(served)
    assert scrape.value("orch_engines_min_free") == 1
    assert scrape.value('orch_engines_total{health_status="healthy"}') >= 1


async def test_a_death_by_its_cause_and_how_soon_it_was_seen(served: Served) -> None:
    engine = await provisioned(served)
    scrape = await Scrape.of(served)
    assert scrape.value('orch_engine_starts_total{reason="request"}') == 1
    assert scrape.value("orch_detection_seconds_count") == 0
    await served.post("/events/stream_started", started(port=engine.slot.port))
    os.kill(int(engine.incarnation.split(":")[0]), signal.SIGKILL)
    await served.until(lambda s: engine.slot not in s.context.state.engines)
    scrape = await Scrape.of(served)
    assert scrape.value('orch_engine_deaths_total{cause="killed"}') == 1
    assert scrape.value("orch_detection_seconds_count") == 1
    assert scrape.value('orch_streams_reaped_total{reason="engine_died"}') == 1


async def test_a_start_that_ends_before_it_is_ready_by_its_cause(serve: Serve) -> None:
    served: Served = await serve(ENGINE_COMMAND="/bin/false {http_port}")
    await served.post("/provision/acestream")
    scrape = await Scrape.of(served)
    failed = scrape.value('orch_engine_start_failures_total{cause="exited"}')
    assert failed >= 1
    assert scrape.value('orch_engine_deaths_total{cause="exited"}') == failed


def test_a_word_nobody_foresaw_is_another_one() -> None:
    for family in ("orch_engine_deaths_total", "orch_engine_start_failures_total"):
        assert FAMILIES[family].known("cause", "of a new version") == "other"
        assert FAMILIES[family].known("cause", None) == "other"


def test_every_cause_the_adapters_know_is_a_value() -> None:
    words = re.findall(r'Why\("(\w+)"', (ADAPTERS / "unit.py").read_text())
    words += re.findall(r'Why\("(\w+)"', (ADAPTERS / "quadlet.py").read_text())
    words += re.findall(r'return "(\w+)", ', (ADAPTERS / "processes.py").read_text())
    assert len(words) > 12
    for family in ("orch_engine_deaths_total", "orch_engine_start_failures_total"):
        assert set(words) <= set(FAMILIES[family].labels["cause"])


async def test_a_refusal_and_that_nothing_can_be_had(serve: Serve) -> None:
    served: Served = await serve(MAX_REPLICAS="1")
    await provisioned(served)
    assert (await served.post("/provision/acestream")).status_code == 503
    scrape = await Scrape.of(served)
    assert scrape.value('orch_provision_refused_total{code="max_capacity"}') == 1
    assert scrape.value("orch_provisioning_blocked") == 1
    assert scrape.value("orch_engines_free") == 0
    assert scrape.value("orch_engines_max") == 1


async def test_a_drain_by_its_reason(served: Served) -> None:
    engine = await provisioned(served)
    assert (await served.post(f"/engines/{engine.container_id}/drain")).status_code == 202
    scrape = await Scrape.of(served)
    assert scrape.value('orch_engine_drains_total{reason="operator"}') == 1
    assert scrape.value("orch_engines_draining") == 1


async def test_a_drain_that_a_viewer_ended(serve: Serve) -> None:
    served: Served = await serve(MAX_REPLICAS="1", ENGINE_GRACE_PERIOD_S="1")
    engine = await provisioned(served)
    event = started(port=engine.slot.port, labels={"stream_id": "s"})
    await served.post("/events/stream_started", event)
    await served.post("/events/stream_ended", {"stream_id": "s"})
    await served.until(lambda s: s.context.state.engines[engine.slot].drain)
    scrape = await Scrape.of(served)
    assert scrape.value("orch_provisioning_blocked") == 0
    assert (await provisioned(served)).ref == engine.ref
    scrape = await Scrape.of(served)
    assert scrape.value('orch_engine_drains_total{reason="scale_down"}') == 1
    assert scrape.value("orch_engine_drains_taken_back_total") == 1
    assert scrape.value("orch_engines_draining") == 0


async def test_an_engine_that_is_not_ready_is_starting(serve: Serve) -> None:
    never = "{python} -m acekeeper.emulator --http-port {http_port} --start-delay 3600"
    served: Served = await serve(ENGINE_COMMAND=never)
    await provisioned(served)
    scrape = await Scrape.of(served)
    assert scrape.value("orch_engines_starting") == 1
    probes = [scrape.value(f'orch_probe_duration_seconds_count{{answered="{a}"}}') for a in ANSWERS]
    assert probes == [0, 0], "it was not yet to answer"


ANSWERS = ("true", "false")


@pytest.mark.parametrize("kind", ["health", "streams", "scale"])
async def test_a_sweep_and_when_it_was(serve: Serve, kind: str) -> None:
    """The only one of its kind meanwhile."""
    intervals = ("HEALTH_CHECK_INTERVAL_S", "MONITOR_INTERVAL_S", "AUTOSCALE_INTERVAL_S")
    served: Served = await serve(**dict.fromkeys(intervals, "3600"))
    before = await Scrape.of(served)
    last = f'orch_sweep_last_success_timestamp_seconds{{kind="{kind}"}}'
    count = f'orch_sweep_duration_seconds_count{{kind="{kind}"}}'
    assert before.value('orch_sweep_interval_seconds{kind="streams"}') == 3600
    assert time.time() - before.value(last) < 60
    await served.post(f"/sweeps/{kind}")
    after = await Scrape.of(served)
    assert after.value(last) > before.value(last)
    assert after.value(count) == before.value(count) + 1


async def test_a_probe_by_whether_it_was_answered(served: Served) -> None:
    engine = await provisioned(served)
    await served.post("/sweeps/health")
    pid = int(engine.incarnation.split(":")[0])
    os.kill(pid, signal.SIGSTOP)
    scrape = await Scrape.of(served)
    assert scrape.value('orch_probe_duration_seconds_count{answered="true"}') >= 1
    assert scrape.value('orch_probe_duration_seconds_count{answered="false"}') == 0
    assert isinstance(await served.context.loop.asks.engine(*engine.ref), EngineSilent)
    os.kill(pid, signal.SIGCONT)
    scrape = await Scrape.of(served)
    assert scrape.value('orch_probe_duration_seconds_count{answered="false"}') == 1


async def test_a_suspicion_by_what_it_came_from_and_a_try_by_its_verdict(served: Served) -> None:
    engine = await provisioned(served)
    await served.context.loop.tell(EngineSilent(*engine.ref, "no answer"))
    for kind, data in (("playback_doubted", {}), ("playback_tried", {"verdict": "starved"})):
        served.context.metrics.observe(Happening(kind, engine.slot, data=data))
    served.context.metrics.observe(Happening("playback_failed", engine.slot))
    scrape = await Scrape.of(served)
    assert scrape.value('orch_engine_suspicions_total{reason="probe"}') == 1
    assert scrape.value('orch_engine_suspicions_total{reason="playback"}') == 1
    assert scrape.value('orch_playback_tries_total{verdict="starved"}') == 1
    assert scrape.value('orch_playback_tries_total{verdict="failed"}') == 1
    assert scrape.value('orch_playback_tries_total{verdict="plays"}') == 0


async def test_an_engine_whose_streams_get_nothing_is_starving(served: Served) -> None:
    engine = await provisioned(served)
    assert (await Scrape.of(served)).value("orch_engines_starving") == 0
    state = served.context.state
    hunger = Hunger(served.context.clock().mono, told=True)
    state.put(replace(state.engines[engine.slot], hunger=hunger))
    assert (await Scrape.of(served)).value("orch_engines_starving") == 1


async def test_peers_and_speed_of_an_engine_while_it_plays(served: Served) -> None:
    engine = await provisioned(served)
    first, second = started(port=engine.slot.port), started(port=engine.slot.port, key="c" * 40)
    for event in (first, second):
        await served.post("/events/stream_started", event)
    assert (await Scrape.of(served)).series("orch_stream_peers") == []
    ids = [event["labels"]["stream_id"] for event in (first, second)]
    loop = served.context.loop
    refs = [loop.state.streams[i].ref for i in ids]
    samples = {ref: Sample(loop.clock(), "dl", 4 + n, 100, 1, 0, 0) for n, ref in enumerate(refs)}
    await loop.tell(StreamsAsked(*engine.ref, samples))
    scrape = await Scrape.of(served)
    name = f'engine="{engine.slot.container_name}"'
    assert scrape.value(f"orch_stream_peers{{{name}}}") == 9
    assert scrape.value(f"orch_stream_speed_bytes{{{name}}}") == 200 * 1024
    await loop.tell(StreamsAsked(*engine.ref, {}, silent=frozenset(refs[:1])))
    scrape = await Scrape.of(served)
    assert scrape.value(f"orch_stream_peers{{{name}}}") == 5  # of the other
    await loop.tell(StreamsAsked(*engine.ref, {}, silent=frozenset(refs)))
    assert (await Scrape.of(served)).series("orch_stream_speed_bytes") == []  # not 0: not known
    await loop.tell(StreamsAsked(*engine.ref, samples))
    for i in ids:
        await served.post("/events/stream_ended", {"stream_id": i})
    assert (await Scrape.of(served)).series("orch_stream_peers") == []


async def test_a_stream_is_reaped_only_without_an_event(served: Served) -> None:
    engine = await provisioned(served)
    event = started(port=engine.slot.port)
    name = event["labels"]["stream_id"]
    await served.post("/events/stream_started", event)
    await served.post("/events/stream_ended", {"stream_id": name, "reason": "superseded"})
    again = started(port=engine.slot.port, token="c" * 32) | {"labels": {"stream_id": name}}
    await served.post("/events/stream_started", again)
    ref = served.context.state.streams[name].ref
    reaped = "orch_streams_reaped_total"
    assert {s.value for s in (await Scrape.of(served)).series(reaped)} == {0}
    await served.context.loop.tell(StreamsAsked(*engine.ref, {}, frozenset({ref})))
    scrape = await Scrape.of(served)
    assert scrape.value(f'{reaped}{{reason="unknown_to_engine"}}') == 1


async def test_streams_that_fail_by_how_they_ended_and_contents_that_do(served: Served) -> None:
    engine = await provisioned(served)
    ends = [
        ("timeout", engine.slot.port),
        ("empty_timeout", engine.slot.port),
        ("completed", engine.slot.port),
        ("client_disconnected", engine.slot.port),
        ("timeout", 19998),  # where none of ours is
    ]
    for n, (reason, port) in enumerate(ends):
        event = started(port=port, key=f"{n:040x}")
        await served.post("/events/stream_started", event)
        end = {"stream_id": event["labels"]["stream_id"], "reason": reason}
        for _ in range(2):  # told twice
            await served.post("/events/stream_ended", end)
    scrape = await Scrape.of(served)
    counted = {s.labels["reason"]: s.value for s in scrape.series("orch_streams_failed_total")}
    assert counted == {"timeout": 1, "empty_timeout": 1, "completed": 1}
    assert scrape.value("orch_events_ended_total") == 5
    assert scrape.value("orch_contents_failing") == 3


async def test_an_event_that_is_not_kept_and_what_waits_for_the_disk(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served.until(lambda s: b"orch_store_commit_seconds_count 0" not in exposition(s))
    await served.until(lambda s: b"orch_store_queue 0.0" in exposition(s))
    assert (await Scrape.of(served)).value("orch_store_degraded") == 0

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("acekeeper.adapters.opened.save", full)
    one, two = started(), started(key="c" * 40)
    assert (await served.post("/events/stream_started", one)).status_code == 503
    batch = {"started": [two], "ended": [{"stream_id": one["labels"]["stream_id"]}]}
    assert (await served.post("/events/batch", batch)).status_code == 200
    scrape = await Scrape.of(served)
    assert scrape.value('orch_events_failed_total{event="stream_started"}') == 2
    assert scrape.value('orch_events_failed_total{event="stream_ended"}') == 1
    assert scrape.value("orch_store_degraded") == 1
    assert scrape.value("orch_store_queue") > 3


async def test_the_disk_and_the_loop_are_looked_at_all_the_time(served: Served) -> None:
    await served.until(lambda s: b"orch_state_dir_free_bytes NaN" not in exposition(s))
    await served.until(lambda s: b"orch_loop_lag_seconds_count 0" not in exposition(s))
    scrape = await Scrape.of(served)
    size = scrape.value("orch_state_dir_size_bytes")
    assert 0 < scrape.value("orch_state_dir_free_bytes") <= size


async def test_what_runs_is_told(served: Served) -> None:
    [build] = (await Scrape.of(served)).series("orch_build_info")
    assert build.labels == {"version": acekeeper.__version__, "runtime": "process"}
    assert build.value == 1


def exposition(served: Served) -> bytes:
    return b"".join(served.context.metrics.exposition())
