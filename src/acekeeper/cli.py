"""The `acekeeper` command. Each part imports what it needs when it runs, so that
what only asks the service is soon there."""

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from acekeeper import __version__, output
from acekeeper.errors import AcekeeperError, BadSetting, BadTrace, OutputFailed

_LEFT_S = 3.0  # for what is still under way when all is closed; a disk may hold it for ever
_BEGUN_WITHIN_S = 5.0  # by then a child that a killed service forked runs its program
_YOUNG = 5_000  # objects; those of all requests under way are fewer, and no garbage
_MMAP_THRESHOLD = -3  # of mallopt(3)
_CERTIFICATES = "SSL_CERT_FILE"
_CONFIG = 78  # EX_CONFIG of sysexits.h: trying again without a change is useless


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["emulator"]:  # its options are the engine's, and not for argparse
        from acekeeper import emulator

        return emulator.main(words[1:])
    output.tell_failures_apart()
    try:
        return _run(words)
    except BrokenPipeError:  # `| head`: who read it has enough
        output.give_up()
        return 1
    except AcekeeperError as error:
        if isinstance(error, OutputFailed):
            output.give_up()
        print(f"acekeeper: {error}", file=sys.stderr)
        return _CONFIG if isinstance(error, BadSetting) else 1
    except KeyboardInterrupt:
        return 130


def _run(words: Sequence[str]) -> int:
    try:
        arguments = _parser().parse_args(words)
    except SystemExit as ended:  # it said what was wrong, or printed its help
        status = ended.code if isinstance(ended.code, int) else 1
    else:
        run: Callable[[argparse.Namespace], int] = arguments.run
        status = run(arguments)
    print(end="", flush=True)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="acekeeper", description="Keeps AceStream engines running and hands them to players."
    )
    parser.add_argument("--version", action="version", version=f"acekeeper {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run, text in (
        (_serve, "run the service until SIGTERM or Ctrl-C; engines outlive it"),
        (_status, "show the engines and how all is"),
        (_doctor, "say what is wrong on this host and what to do; ends with 1 if anything is"),
        (_stop, "end the service and all its engines (only where RUNTIME is process)"),
    ):
        name = run.__name__.removeprefix("_")
        commands.add_parser(name, help=text, description=text).set_defaults(run=run)
    text = "ask the service for one pass of a kind, and say what it found and did"
    sweep = commands.add_parser("sweep", help=text, description=text)
    sweep.add_argument("kind", choices=["health", "streams", "scale"])
    sweep.set_defaults(run=_sweep)
    text = "show every setting in force and where it came from"
    settings = commands.add_parser("settings", help=text, description=text)
    settings.add_argument(
        "--drop-ins",
        metavar="DIR",
        type=Path,
        help="write what systemd's units need of them below DIR, and name the files that changed",
    )
    settings.add_argument(
        "--check", action="store_true", help="with --drop-ins: name them, and write nothing"
    )
    settings.add_argument(
        "--firewall",
        action="store_true",
        help="print the table of nftables that lets those of GATEWAY_ALLOW to our ports",
    )
    settings.set_defaults(run=_settings)
    text = "show what the settings in force would do on a day of viewers"
    simulate = commands.add_parser("simulate", help=text, description=text)
    simulate.add_argument(
        "trace",
        metavar="TRACE",
        help="a file that says when viewers come and go (docs/simulation.md), - for standard input,"
        " or a day that is built in: evening, quiet",
    )
    simulate.add_argument(
        "--start-seconds",
        type=_start_seconds,
        default=6.0,
        metavar="N",
        help="how long an engine takes to start, on average (6)",
    )
    simulate.set_defaults(run=_simulate)
    commands.add_parser(
        "emulator", help="run one emulated engine; docs/emulator.md has its options"
    )
    return parser


def _serve(_: argparse.Namespace) -> int:
    from acekeeper.adapters.lock import hold
    from acekeeper.adapters.notify import inherited_sockets
    from acekeeper.adapters.threads import ending_within
    from acekeeper.listening import GATEWAY, bind, open_gateway, require_key
    from acekeeper.settings import load

    settings = load(os.environ)
    with hold(settings.state_dir):
        handed = inherited_sockets()
        for_players = handed.pop(GATEWAY, [])
        inherited = [s for group in handed.values() for s in group]
        require_key(inherited, settings.api_key is not None)
        sockets = inherited or bind(settings.app_host, settings.app_port)
        gateway = open_gateway(
            settings.gateway_host, settings.gateway_port, for_players if inherited else None
        )

        # What is imported stays: to look through it for garbage slows the start and the end.
        gc.disable()
        import asyncio
        import ctypes

        os.environ.setdefault(_CERTIFICATES, os.devnull)  # aiohttp would read all of the host's
        from acekeeper import app, log
        from acekeeper.line_writer import takes
        from acekeeper.server import EventLoop

        if os.environ[_CERTIFICATES] == os.devnull:
            del os.environ[_CERTIFICATES]  # it is not for the engines
        gc.freeze()
        gc.set_threshold(_YOUNG)
        gc.enable()
        with suppress(AttributeError):  # it is not glibc
            # That would come to put large bodies among what stays, where they leave holes.
            ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 128 * 1024)
        sink = log.setup(settings.log_level, settings.secrets)
        if settings.runtime == "process":
            from acekeeper.greeting import greeting

            if takes(1):  # a terminal that takes nothing must not delay the start
                print(greeting(settings, gateway), flush=True)
        with (
            asyncio.Runner(loop_factory=EventLoop) as runner,
            ending_within(_LEFT_S),
        ):
            runner.run(app.serve(settings, sockets, gateway, lambda: sink.dropped))
    return 0


def _sweep(arguments: argparse.Namespace) -> int:
    from acekeeper.client import call
    from acekeeper.settings import load

    report = call(load(os.environ), "POST", f"/sweeps/{arguments.kind}")
    found = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in report.items())
    print(f"{arguments.kind}: {found}")
    return 0


def _settings(arguments: argparse.Namespace) -> int:
    from acekeeper.drop_ins import outdated, write
    from acekeeper.firewall import firewall
    from acekeeper.settings import load
    from acekeeper.settings_table import table

    if arguments.check and arguments.drop_ins is None:
        raise AcekeeperError("--check is for --drop-ins DIR")
    settings = load(os.environ)
    if arguments.firewall:
        print(firewall(settings), end="")
    elif arguments.drop_ins is None:
        print(table(settings))
    else:
        change = outdated if arguments.check else write
        for path in change(arguments.drop_ins, settings):
            print(path)
    return 0


def _simulate(arguments: argparse.Namespace) -> int:
    from acekeeper.rules import rules_of
    from acekeeper.settings import load
    from acekeeper.simulation import DAYS, read, simulate, text

    rules = rules_of(load(os.environ))
    trace = arguments.trace
    try:
        if trace in DAYS:
            viewers = DAYS[trace](0)
        elif trace == "-":
            viewers = read(sys.stdin.read())
        else:
            viewers = read(Path(trace).read_text("utf-8"))
    except OSError as error:
        hint = f"Name a file, or one of {', '.join(DAYS)}"
        raise BadTrace(f"{trace} cannot be read: {error.strerror}", hint) from None
    except UnicodeDecodeError:
        raise BadTrace(f"{trace} is not UTF-8 text") from None
    except BadTrace as error:
        raise BadTrace(f"{trace}: {error.message}", error.hint) from None
    clients, players = (
        simulate(rules, viewers, arguments.start_seconds, by_gateway=by_gateway)
        for by_gateway in (False, True)
    )
    print(text(clients, players))
    return 0


def _start_seconds(said: str) -> float:
    with suppress(ValueError):
        if 0 < float(said) <= 3600:
            return float(said)
    raise argparse.ArgumentTypeError(f"{said!r} is not a number of seconds up to 3600")


def _status(_: argparse.Namespace) -> int:
    from acekeeper.client import call
    from acekeeper.settings import load

    settings = load(os.environ)
    whole = call(settings, "GET", "/orchestrator/status")
    engines = call(settings, "GET", "/engines?include=all")
    streams = call(settings, "GET", "/streams?status=started")
    players = {stream["id"]: stream["player"] for stream in streams}
    ready = call(settings, "GET", "/health/ready")
    blocked = whole["provisioning"]["blocked_reason"]
    print(
        f"{whole['status']}; {len(engines)} engines, {whole['capacity']['available']} free;"
        f" {whole['streams']['active']} streams; breaker {ready['circuit_state']}"
        + (f"; no provisioning: {blocked}" if blocked else "")
    )
    gateway = whole["gateway"]
    if gateway:
        where = ", ".join(gateway["listening"]) or "nowhere"
        counts = f"{gateway['playing']} playing, {gateway['waiting']} waiting"
        print(f"  gateway on {where}; {counts}")
    if rolling := whole["rollout"]:
        why = ", ".join(f"{count} {reason}" for reason, count in rolling["reasons"].items())
        state = f"stopped, {rolling['stopped']}" if rolling["stopped"] else "under way"
        print(f"  replacing {rolling['outdated']} of {len(engines)} engines ({why}): {state}")
    for wrong in ready["degraded"]:
        print(f"  {wrong}")
    for engine in sorted(engines, key=lambda e: (e["host"], e["port"])):
        address = f"{engine['host']}:{engine['port']}"
        state = f"{engine['phase']:9} {engine['health_status']:9}"
        theirs = sorted({players[i] for i in engine["streams"] if players.get(i)})
        print(
            f"  {address:21} {state} {len(engine['streams'])} streams  {engine['container_name']}"
            + (f"  for {', '.join(theirs)}" if theirs else "")
        )
    return 0


def _doctor(_: argparse.Namespace) -> int:
    from acekeeper.doctor import examine

    status = 0
    for finding in examine(os.environ):
        if finding.is_well:
            print(f"ok     {finding.text}")
        else:
            status = 1
            print(f"wrong  {finding.text}. {finding.advice}.")
    return status


def _stop(_: argparse.Namespace) -> int:
    import signal

    from acekeeper.adapters import lock, proc
    from acekeeper.adapters.processes import note_stops, stop_all
    from acekeeper.settings import load

    settings = load(os.environ)
    if settings.runtime != "process":
        raise BadSetting(
            "RUNTIME=quadlet: systemd owns the engines",
            "Use systemctl --user stop acekeeper.socket acekeeper.service 'engine@*'",
        )
    service = lock.holder(settings.state_dir)
    if service is not None:
        proc.send(service, signal.SIGTERM)
        if not proc.ended(service, within=30):
            raise AcekeeperError("the service does not end", "See its log")
        print("stopped the service")
    with lock.waited_for(settings.state_dir, _BEGUN_WITHIN_S):
        try:
            note_stops(settings.state_dir)
        except OSError as error:
            why = f"{settings.state_dir} cannot be written ({error.strerror})"
            words = f"acekeeper: the next start will call the engines vanished: {why}"
            print(words, file=sys.stderr)
        count = stop_all(settings.state_dir)
    print(f"stopped {count} {'engine' if count == 1 else 'engines'}")
    return 0
