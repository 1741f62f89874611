"""The least a server of these bytes can do: a bare ASGI function under the same HTTP server."""

import json
import sys
from pathlib import Path
from typing import Any

import uvicorn


def main(port: int, bodies: Path) -> None:
    """`bodies`: a JSON object of paths, with their queries, and what to answer."""
    answers = {path: body.encode() for path, body in json.loads(bodies.read_bytes()).items()}

    async def bare(scope: Any, _: Any, send: Any) -> None:
        body = answers["?".join(filter(None, (scope["path"], scope["query_string"].decode())))]
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
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
