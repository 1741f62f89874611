"""A registry with one image in it, as far as Podman pulls one by digest, and a proxy to it."""

import base64
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

NAME = "acekeeper-engine"


@dataclass
class Registry:
    address: str  # as the image's name has it
    digest: str
    login: str  # "user:password", or empty if everybody may pull
    answers: Mapping[str, bytes]
    manifests_are: str
    proxied: list[str] = field(default_factory=list)  # what was asked of it as a proxy

    @property
    def image(self) -> str:
        return f"{self.address}/{NAME}@{self.digest}"

    @property
    def auth(self) -> str:
        """As `podman login` writes it."""
        return json.dumps({"auths": {self.address: {"auth": self.basic}}})

    @property
    def basic(self) -> str:
        return base64.b64encode(self.login.encode()).decode()


@contextmanager
def serving(archive: Path, address: str, login: str = "") -> Iterator[Registry]:
    """This OCI archive, without TLS."""
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
    registry = Registry("", manifest["digest"], login, answers, manifest["mediaType"])
    with ThreadingHTTPServer((address, 0), partial(_Asked, registry)) as server:
        registry.address = f"{address}:{server.server_port}"
        serves = threading.Thread(target=server.serve_forever)
        serves.start()
        try:
            yield registry
        finally:
            server.shutdown()
            serves.join()


class _Asked(BaseHTTPRequestHandler):
    def __init__(self, registry: Registry, *given: object) -> None:
        self._registry = registry
        super().__init__(*given)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        registry, path = self._registry, urlsplit(self.path).path
        if path != self.path:
            registry.proxied.append(self.path)
        body = registry.answers.get(path)
        status = HTTPStatus.NOT_FOUND if body is None else HTTPStatus.OK
        if registry.login and self.headers["Authorization"] != f"Basic {registry.basic}":
            body, status = b"", HTTPStatus.UNAUTHORIZED
        self.send_response(status)
        if status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", 'Basic realm="test"')
        is_manifest = "/manifests/" in path
        kind = registry.manifests_are if is_manifest else "application/octet-stream"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass
