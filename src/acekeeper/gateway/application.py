"""What the gateway answers."""

from functools import partial

from acekeeper.gateway.again import Leaving
from acekeeper.gateway.commands import Commands
from acekeeper.gateway.context import Context
from acekeeper.gateway.door import HLS, JSON, TS, Handler, Route, Routes
from acekeeper.gateway.liveness import Liveness
from acekeeper.gateway.opening import Opener
from acekeeper.gateway.pictures import LASTS, Pictures
from acekeeper.gateway.playlists import Playlists
from acekeeper.metrics import Metrics
from acekeeper.usecases.loop import Loop
from acekeeper.usecases.requests import longest_wait


def routes(loop: Loop, metrics: Metrics, leaving: Leaving, *, may_name_urls: bool) -> Routes:
    """A player that waits when `leaving` begins is redirected to the same URL."""
    context = Context(loop=loop, metrics=metrics, leaving=leaving, may_name_urls=may_name_urls)
    opener, commands = Opener(context), Commands(context)

    def waits(handler: Handler, most: float) -> Handler:
        restarted = partial(metrics.gateway_answered, "restarted")
        return leaving.sends_on(handler, loop.clock, most, restarted)

    longest = longest_wait(loop.rules, for_json=False)
    return {
        "/ace/getstream": Route(waits(partial(opener.open, is_hls=False), longest), TS),
        "/ace/manifest.m3u8": Route(waits(partial(opener.open, is_hls=True), longest), HLS),
        "/ace/r/": Route(waits(Pictures(context).picture, LASTS), TS),
        "/ace/m/": Route(waits(Playlists(context).playlist, longest), HLS),
        "/ace/stat/": Route(commands.stat, JSON),
        "/ace/cmd/": Route(commands.command, JSON),
        **Liveness(loop).routes(),
    }
