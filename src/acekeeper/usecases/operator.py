"""What an operator asks for that takes more than a fact."""

from typing import Literal

from loguru import logger

from acekeeper.core.facts import StreamStopped
from acekeeper.core.model import Stream
from acekeeper.errors import NoAnswer
from acekeeper.usecases.loop import Loop

Heard = Literal["stopped", "stopping", "silent", "not_asked"]
"""What the engine of a stream said to its end; it is not asked if it is not ours, or if the stream
was over. It is asked until it has stopped what the gateway opened there."""


async def stop_stream(loop: Loop, stream: Stream) -> Heard:
    """The engine first, so that its end is not said to be on disk and then never asked for. Whether
    it heard or not, the stream is over."""
    heard: Heard = "not_asked"
    if stream.ended is None and stream.slot and loop.state.current(stream.slot, stream.incarnation):
        if stream.gateway is not None:
            await loop.tell(StreamStopped(stream.id, stream.session))
            return "stopping"
        try:
            await loop.engines.stop(stream.slot, stream.command_url)
            heard = "stopped"
        except NoAnswer as error:
            heard = "silent"
            engine = stream.slot.container_name
            logger.warning("stream_not_stopped", stream=stream.id, engine=engine, why=str(error))
    await loop.tell(StreamStopped(stream.id, stream.session))
    return heard
