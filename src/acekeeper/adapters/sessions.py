"""What players do with the sessions that the gateway opened for them. These calls may last, so they
have connections of their own: no probe waits for them."""

from acekeeper.adapters.calls import Reply, get, new_session, shown
from acekeeper.adapters.getstream import check_text, content_path, open_session, session_path
from acekeeper.core.gateway.model import Wanted
from acekeeper.core.model import Opening
from acekeeper.core.names import Slot, bracketed
from acekeeper.errors import NoAnswer

_STAT_WITHIN = 3.0


class Sessions:
    """To be made on a running event loop. `arrival`: the address of this host at which the player
    reaches us, and the engine; its URLs are to name it."""

    def __init__(self) -> None:
        self._session = new_session(most=0, to_one=0)  # as many as there are players

    async def close(self) -> None:
        await self._session.close()

    async def open(self, slot: Slot, wanted: Wanted, within: float) -> Opening:
        return await open_session(
            self._session,
            slot,
            wanted.content,
            within,
            is_hls=wanted.is_hls,
            query=wanted.query,
            headers=_naming(slot, wanted.arrival),
        )

    async def redirect(self, slot: Slot, opening: Opening, arrival: str, within: float) -> str:
        """Where the engine sends its player for the picture: a path there, and a query."""
        reply = await self._ask(slot, session_path("r", opening), arrival, within)
        if reply.status != 302:
            raise NoAnswer(f"answered {reply.status} {shown(reply.media_type)} for a picture")
        return content_path(reply.location)

    async def list(self, slot: Slot, opening: Opening, arrival: str, within: float) -> bytes:
        """The list of an HLS session, as the engine wrote it."""
        reply = await self._ask(slot, session_path("m", opening) + ".m3u8", arrival, within)
        if reply.status != 200:
            raise NoAnswer(f"answered {reply.status} {shown(reply.media_type)} for a list")
        return reply.body

    async def stat(self, slot: Slot, opening: Opening, arrival: str) -> bytes:
        """The JSON of its answer."""
        path, headers = session_path("stat", opening), _naming(slot, arrival)
        reply = await get(self._session, slot, path, "", _STAT_WITHIN, headers)
        reply.json()
        return reply.body

    async def _ask(self, slot: Slot, path: str, arrival: str, within: float) -> Reply:
        reply = await get(self._session, slot, path, "", within, _naming(slot, arrival))
        check_text(reply)
        return reply


def _naming(slot: Slot, arrival: str) -> dict[str, str]:
    """The URLs of the answer are to have this name."""
    return {"Host": f"{bracketed(arrival)}:{slot.port}"}
