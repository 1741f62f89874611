"""`serve` and `stop`: the service in the foreground, and its end with all its engines."""

import argparse
import gc
import os
import sys
from contextlib import suppress

from acekeeper.cli.commands import Commands
from acekeeper.errors import AcekeeperError, BadSetting

_LEFT_S = 3.0  # for what is still under way when all is closed; a disk may hold it for ever
_BEGUN_WITHIN_S = 5.0  # by then a child that a killed service forked runs its program
_YOUNG = 5_000  # objects; those of all requests under way are fewer, and no garbage
_MMAP_THRESHOLD = -3  # of mallopt(3)
_CERTIFICATES = "SSL_CERT_FILE"


def add(commands: Commands) -> None:
    commands.add(
        "serve",
        _serve,
        "run the service until SIGTERM or Ctrl-C; engines outlive it",
    )
    commands.add(
        "stop",
        _stop,
        "end the service and all its engines (only where RUNTIME is process)",
    )


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
