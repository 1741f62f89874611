"""The least a server of these bytes can do: a bare ASGI function under the same HTTP server."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import uvicorn

from ..ports import free_port
from .measuring import listening

_ACCEPTED = b'{"stream_id":"0","status":"accepted"}'


@contextmanager
def bare(bodies: Path, answers: dict[str, bytes]) -> Iterator[tuple[int, int]]:
    """Its port and its pid. `answers` by path with query; `bodies` is a file for them."""
    bodies.write_text(json.dumps({target: body.decode() for target, body in answers.items()}))
    port = free_port()
    process = Popen([sys.executable, "-m", __name__, str(port), str(bodies)])
    try:
        listening(port, process)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def main(port: int, bodies: Path) -> None:
    """What has a condition is answered 304; an event is read and answered 202."""
    answers = {path: body.encode() for path, body in json.loads(bodies.read_bytes()).items()}

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            while (await receive())["more_body"]:
                pass
            status, body = 202, _ACCEPTED
        elif any(name == b"if-none-match" for name, _ in scope["headers"]):
            status, body = 304, b""
        else:
            status = 200
            body = answers["?".join(filter(None, (scope["path"], scope["query_string"].decode())))]
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    uvicorn.run(
        bare,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
