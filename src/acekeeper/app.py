"""Wiring: settings become adapters, usecases and the API, in the order of start and stop."""

import asyncio
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

from loguru import logger
from msgspec.structs import asdict

from acekeeper import __version__
from acekeeper.adapters import connections
from acekeeper.adapters.engine import EngineClient
from acekeeper.adapters.history import History
from acekeeper.adapters.notify import Notifier
from acekeeper.adapters.playback import Player
from acekeeper.adapters.ports import present
from acekeeper.adapters.proc import boot_id
from acekeeper.adapters.readers import Readers
from acekeeper.adapters.retries import Retries
from acekeeper.adapters.sessions import Sessions
from acekeeper.adapters.store import Store
from acekeeper.api.access import Access
from acekeeper.api.application import application
from acekeeper.api.context import Context, Limits
from acekeeper.api.edge import Edge
from acekeeper.api.followers import Followers
from acekeeper.api.views import Views
from acekeeper.core import network, vpns
from acekeeper.core.addresses import absences, absent
from acekeeper.core.changes import Happening
from acekeeper.core.facts import TimePassed
from acekeeper.core.fleet import seen
from acekeeper.core.happenings import WARNINGS
from acekeeper.core.model import Now
from acekeeper.core.restore import restore
from acekeeper.core.rollout import STOPPED
from acekeeper.core.rules import Rules
from acekeeper.core.runs import Run, ServiceStarted, ServiceStopped
from acekeeper.crowd import raise_descriptors
from acekeeper.gateway.again import Leaving
from acekeeper.gateway.application import routes
from acekeeper.gateway.door import Door
from acekeeper.listening import Gateway, are_loopback
from acekeeper.metrics import Host, Metrics, Pool
from acekeeper.rules import rules_of
from acekeeper.runtimes import runtime_of, watch_vpns
from acekeeper.server import Server, serve_until_told
from acekeeper.settings import Settings
from acekeeper.usecases.adoption import Adoption
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.sweep import Kind, Sweeps

_OVERDUE_S = 5.0  # a deadline of the plan that passed unheeded for so long: the loop is stuck
_PLAYERS_LEAVE_WITHIN_S = 1  # those that wait are redirected, and wait on at the next start
_ADOPT_WITHIN_S = 1.0  # before serving; nothing slow stands in a viewer's way
# The longest that a thread keeps the interpreter lock while another one waits for it. The store's
# writer waits for the event loop at every statement, and the event loop for the writer.
_SWITCH_S = 0.0005
_NO_GATEWAY = Gateway()


def clock() -> Now:
    return Now(time.time(), time.monotonic())


async def serve(
    settings: Settings,
    sockets: Sequence[socket.socket],
    gateway: Gateway,
    lines_lost: Callable[[], int],
) -> None:
    """Until SIGTERM or SIGINT."""
    raise_descriptors()
    sys.setswitchinterval(_SWITCH_S)
    notifier, serving = Notifier(), asyncio.Event()

    def started() -> None:
        logger.info(
            "serving",
            version=__version__,
            addresses=_addresses(sockets),
            gateway=_addresses(gateway.sockets),
            runtime=settings.runtime,
        )
        for why in gateway.off:
            logger.warning("gateway_lacks", why=why)
        notifier.ready()
        serving.set()

    async with service(settings, lines_lost, gateway, serving) as context:
        app = api(settings, context, are_loopback(sockets), lambda: server.should_exit)
        server = Server(
            app, started, app.unheard, settings.api_request_timeout_s, context.followers.close
        )
        served = [(server, sockets)]
        if gateway.sockets:
            served.append((players(settings, context), gateway.sockets))
        context.loop.spawn(notifier.feed_watchdog(partial(_does_its_duties, context.loop)))
        await serve_until_told(served)
        notifier.stopping()
        logger.info("stopping")


def _addresses(sockets: Sequence[socket.socket]) -> list[str]:
    return [f"{s.getsockname()[0]}:{s.getsockname()[1]}" for s in sockets]


def players(settings: Settings, context: Context) -> Server:
    """Players have a server of their own, so that they never take the places of the API's
    callers."""
    metrics, leaving = context.metrics, Leaving()
    door = Door(
        routes(context.loop, metrics, leaving, may_name_urls=settings.gateway_allow_urls),
        settings.gateway_allow,
        lambda _, status, __: metrics.gateway_turned_away(status),
    )
    return Server(
        door,
        lambda: None,
        door.unheard,
        settings.api_request_timeout_s,
        leaving.begin,
        once=True,
        answers_within=_PLAYERS_LEAVE_WITHIN_S,
    )


def api(
    settings: Settings, context: Context, only_loopback: bool, draining: Callable[[], bool]
) -> Edge:
    keys = [key.reveal() for key in (settings.api_key, settings.api_key_previous) if key]
    read_keys = [settings.api_key_read.reveal()] if settings.api_key_read else []
    access = Access(keys, read_keys, only_loopback, context.rules.local_names)
    app = application(
        context, access, settings.api_request_timeout_s, settings.api_long_operation_timeout_s
    )
    return Edge(app, context, access, draining, settings.api_request_timeout_s)


@asynccontextmanager
async def service(
    settings: Settings,
    lines_lost: Callable[[], int],
    gateway: Gateway = _NO_GATEWAY,
    serving: asyncio.Event | None = None,
) -> AsyncIterator[Context]:
    """`lines_lost` counts those of the log that could not be written."""
    rules = rules_of(settings)
    database, readers = settings.state_dir / "acekeeper.db", Readers()
    followers, metrics = Followers(), Metrics(clock, rules.vpns)

    def committed(seconds: float, _: int) -> None:
        metrics.committed(seconds)
        followers.committed()

    async with AsyncExitStack() as stack:
        history = History(database, readers)
        stack.callback(history.close)
        store = Store(
            database,
            settings.retention_days,
            on_trouble=_store_trouble,
            on_commit=committed,
            readers=readers,
        )
        loop = _loop(stack, settings, rules, store, metrics)
        metrics.add(Pool(loop.state, rules, clock))
        intervals = {
            Kind.HEALTH: settings.health_check_interval_s,
            Kind.STREAMS: settings.monitor_interval_s,
            Kind.SCALE: settings.autoscale_interval_s,
        }
        sweeps = Sweeps(loop, intervals, metrics.swept)
        stack.push_async_callback(sweeps.close)
        host = Host(settings.runtime, sweeps, store, settings.state_dir, lines_lost)
        metrics.add(host)
        loop.spawn(host.watch_disk())
        adoption = Adoption(loop, sweeps, serving)
        await adoption.open()
        with suppress(TimeoutError):
            await asyncio.wait_for(adoption.listed.wait(), _ADOPT_WITHIN_S)
        if settings.runtime == "process":  # elsewhere systemd's timers ask
            for kind, seconds in intervals.items():
                loop.spawn(sweeps.every(kind, seconds))
        yield Context(
            loop=loop,
            sweeps=sweeps,
            views=Views(loop.state, rules),
            history=history,
            followers=followers,
            metrics=metrics,
            limits=Limits(
                max_body_bytes=settings.max_body_bytes,
                max_batch_events=settings.max_batch_events,
            ),
            target_image=settings.target_image,
            fleet=settings.fleet_name or None,
            degraded=partial(_degraded, loop, store, sweeps, gateway.off),
            gateway=_addresses(gateway.sockets) if gateway.sockets or gateway.off else None,
        )


def _loop(
    stack: AsyncExitStack, settings: Settings, rules: Rules, store: Store, metrics: Metrics
) -> Loop:
    """Goes on from what the store has saved, until `stack` closes it."""
    started = clock()
    saved = asdict(store.load(started))
    stack.push_async_callback(store.close)
    state = restore(rules, started, current_boot=boot_id(), **saved)
    retries = Retries(settings.max_retries, settings.retry_backoff_s, metrics.communication_failed)
    engines = EngineClient(
        clock, retries, settings.monitor_interval_s, settings.max_replicas, metrics.probed
    )
    stack.push_async_callback(engines.close)
    sessions = Sessions()
    stack.push_async_callback(sessions.close)
    runtime, traffic = runtime_of(settings, clock, retries, metrics)
    stack.push_async_callback(runtime.close)
    loop = Loop(
        state,
        rules,
        clock,
        runtime,
        engines,
        Player(engines),
        sessions,
        connections.of_others,
        present,
        store,
        partial(_observe, metrics, logger.level(settings.log_level).no),
        metrics.lagged,
    )
    stack.push_async_callback(loop.close)
    if traffic is not None:
        watch_vpns(stack, settings, loop, traffic, metrics)
    if settings.fleet_name:
        from acekeeper import fleet

        fleet.join(settings, loop, metrics)
    this = _run(settings, state.run)
    # What the restore found is stored and logged with it.
    loop.tell_all((ServiceStarted(this), TimePassed()))
    stack.push(partial(_ended, loop))
    return loop


def _ended(loop: Loop, error: type[BaseException] | None, *_: object) -> None:
    if error is None:
        loop.tell(ServiceStopped())


def _run(settings: Settings, last: Run | None) -> Run:
    """With the salt of the last one, or the digests could not be compared."""
    salt = last.salt if last else secrets.token_hex(16)
    return Run(__version__, boot_id(), salt, settings.digests(salt))


def _does_its_duties(loop: Loop) -> bool:
    return not loop.is_overdue(_OVERDUE_S) and loop.store.is_alive


def _degraded(loop: Loop, store: Store, sweeps: Sweeps, gateway_off: Sequence[str]) -> list[str]:
    wrong = []
    if store.degraded:
        wrong.append(f"store: {store.degraded}")
    if not loop.state.connected:
        wrong.append("runtime: whoever runs the engines cannot be reached")
    elif not loop.state.listed:
        wrong.append("runtime: the engines are not listed yet")
    if loop.state.rollout and loop.state.rollout.stopped:
        wrong.append(f"rollout: {STOPPED[loop.state.rollout.stopped]}")
    if loop.state.lacks:
        wrong.append(f"runtime: {loop.state.lacks}")
    wrong += (f"{source}: {why}" for source, why in loop.state.silent.items())
    wrong += (f"sweeps: {why}" for why in sweeps.late())
    wrong += (f"gateway: {why}" for why in gateway_off)
    wrong += absences(loop.rules, absent(loop.state, loop.rules))
    wrong += network.troubles(loop.state, loop.clock())
    wrong += vpns.troubles(loop.state, loop.rules, loop.clock())
    wrong += seen.troubles(loop.state.fleet, loop.rules)
    return wrong


def _store_trouble(why: str) -> None:
    if why:
        logger.error("store_degraded", why=why)
    else:
        logger.info("store_recovered")


def _observe(metrics: Metrics, least: int, happening: Happening) -> None:
    """`least`: the number of the lowest level that is logged."""
    metrics.observe(happening)
    level = logger.level("WARNING" if happening.kind in WARNINGS else "INFO")
    if level.no < least:
        return
    fields: dict[str, object] = {k: v for k, v in happening.data.items() if v is not None}
    if request := fields.pop("request", None):
        fields["request_id"] = request
    if happening.engine is not None:
        fields["engine"] = happening.engine.container_name
    if happening.stream:
        fields["stream"] = happening.stream
    logger.bind(**fields).log(level.name, happening.kind)
