"""What a request's scope has beside what ASGI says."""

from typing import Any

from litestar.types import Receive, Scope

# Sends a whole answer, if it can be sent at once: its status, its lines of headers and its body.
WHOLE = "acekeeper.whole"
# Ends the connection at once, whatever of the answer was not taken yet.
CUT = "acekeeper.cut"
# For how many seconds the request lay in the kernel, if it is the only one of its connection.
WAITED = "acekeeper.waited"
BODY = "acekeeper.body"  # in the scope's state: a small one that came with its head


async def until_hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def cut(scope: Scope, receive: Receive) -> None:
    """Ends the connection at once; what was not taken of an answer would hold it open, and our
    exit."""
    extensions: Any = scope.get("extensions")
    if extensions:
        extensions[CUT]()
        await until_hung_up(receive)
