"""Podman: its version, its socket, the image, and whether a container can be set up at all."""

import http.client
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from acekeeper.adapters import ports
from acekeeper.doctor.finding import Finding, complaint, run, well, wrong
from acekeeper.settings import Settings

_OLDEST = (5, 4)
_ANSWERS_WITHIN_S = 10
# Up to where the program would run: user namespace, storage, network.
_CREATE = ("--pull=never", "--read-only", "--userns=nomap", "--network=pasta", "--pids-limit=0")


def check(settings: Settings) -> Iterator[Finding]:
    version = run("podman", "--version")
    if version.failed:
        yield complaint("Podman", version, "Install the package podman")
        return
    found = re.search(r"(\d+)\.(\d+)\S*", version.out)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST:
        yield wrong(f"{version.out} is too old", "Install Podman 5.4 or newer")
    else:
        yield well(f"Podman is {found[0]}")
    yield _answers()
    image = settings.target_image or ""  # the settings would not have loaded without one
    present = run("podman", "image", "exists", image)
    if present.status == 1 and not present.complaint:
        advice = "Deploy again, or run `podman pull` or `podman load` as the user"
        yield wrong(f"the engine image {image} is not here", advice)
    elif present.failed:
        yield complaint("images", present, "Run `podman info` as the user")
    else:
        yield well("the engine image is here")
        yield _container(image, ports.present(settings.engine_host))


def _container(image: str, there: tuple[str, ...]) -> Finding:
    advice = "Run `podman info` as the user"
    if len(there) > 1:
        advice += "; a passt older than Debian 13's publishes no port at several addresses"
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    published = [f"--publish={address}:{port}:{port}/tcp" for address in there]
    created = run("podman", "create", *_CREATE, *published, image)
    if created.failed:
        return complaint("a container cannot be made", created, advice)
    container = created.out.splitlines()[-1]
    begun = run("podman", "container", "init", container)
    removed = run("podman", "rm", "--force", "--time=0", "--volumes", container)
    for step in (begun, removed):
        if step.failed:
            return complaint("a container cannot be set up", step, advice)
    return well("a container can be set up")


def _answers() -> Finding:
    path = Path(os.environ["XDG_RUNTIME_DIR"], "podman/podman.sock")
    connection = http.client.HTTPConnection("podman")
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(_ANSWERS_WITHIN_S)
        connection.sock.connect(str(path))
        connection.request("GET", "/_ping")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        if run("systemctl", "--user", "is-active", "podman.socket").out == "active":
            return wrong(
                f"podman.socket is active, but nobody answers on {path} ({why})",
                "Run `systemctl --user restart podman.socket`; something removed its file",
            )
        return wrong(
            f"nobody answers on {path} ({why})",
            "Run `systemctl --user enable --now podman.socket`",
        )
    finally:
        connection.close()
    if status != http.client.OK:
        return wrong(
            f"{path} answered {status}", "`systemctl --user status podman.service` says more"
        )
    return well("podman.socket answers")
