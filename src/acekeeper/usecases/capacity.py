"""A client asks what plays on an engine, before it chooses one."""

from acekeeper.core import unbegun
from acekeeper.core.facts import CapacityAsked
from acekeeper.usecases.loop import Loop


def asked(loop: Loop, container_id: str) -> None:
    engine = loop.state.find(container_id)
    if engine is not None and unbegun.is_news(loop.state, loop.rules, engine, loop.clock()):
        loop.tell(CapacityAsked(*engine.ref))
