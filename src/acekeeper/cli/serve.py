"""`serve`: the service in the foreground."""

import argparse
import gc
import os
from contextlib import suppress

from acekeeper.cli.commands import Commands

_LEFT_S = 3.0  # for what is still under way when all is closed; a disk may hold it for ever
_YOUNG = 5_000  # objects; those of all requests under way are fewer, and no garbage
_MMAP_THRESHOLD = -3  # of mallopt(3)
_CERTIFICATES = "SSL_CERT_FILE"


def add(commands: Commands) -> None:
    commands.add(
        "serve",
        _serve,
        "run the service until SIGTERM or Ctrl-C; engines outlive it",
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
