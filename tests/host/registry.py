"""A registry with one image in it, as far as Podman asks one to pull by digest."""

import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAME = "acekeeper-engine"


@contextmanager
def serving(archive: Path, address: str) -> Iterator[str]:
    """The name and digest that this OCI archive has there meanwhile, without TLS."""
    with tarfile.open(archive) as tar:
        blobs = {
            f"sha256:{Path(member.name).name}": file.read()
            for member in tar
            if member.name.startswith("blobs/") and (file := tar.extractfile(member))
        }
        index = tar.extractfile("index.json")
        assert index
        [manifest] = json.load(index)["manifests"]
    answers = {f"/v2/{NAME}/blobs/{digest}": blob for digest, blob in blobs.items()}
    answers[f"/v2/{NAME}/manifests/{manifest['digest']}"] = blobs[manifest["digest"]]
    answers["/v2/"] = b"{}"
    with ThreadingHTTPServer(
        (address, 0), partial(_Asked, answers, manifest["mediaType"])
    ) as server:
        serves = threading.Thread(target=server.serve_forever)
        serves.start()
        try:
            yield f"{address}:{server.server_port}/{NAME}@{manifest['digest']}"
        finally:
            server.shutdown()
            serves.join()


class _Asked(BaseHTTPRequestHandler):
    def __init__(self, answers: Mapping[str, bytes], manifests_are: str, *given: object) -> None:
        self._answers = answers
        self._manifests_are = manifests_are
        super().__init__(*given)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        body = self._answers.get(self.path)
        self.send_response(HTTPStatus.NOT_FOUND if body is None else HTTPStatus.OK)
        is_manifest = "/manifests/" in self.path
        kind = self._manifests_are if is_manifest else "application/octet-stream"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass
