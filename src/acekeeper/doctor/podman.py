"""Podman: its version, its storage, its socket, the image, and whether a container can be set up at
all."""

import http.client
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from acekeeper.adapters import ports
from acekeeper.adapters.systemctl import systemctl
from acekeeper.doctor.finding import (
    Command,
    Finding,
    Ran,
    complaint,
    is_known,
    mendable,
    run,
    well,
    wrong,
)
from acekeeper.settings import Settings

_OLDEST = (5, 4, 1)  # 5.4.0 leaves files of every container in /run/user, until that is full
_ANSWERS_WITHIN_S = 10
# Up to where the program would run: user namespace, storage, network.
_CREATE = ("--pull=never", "--read-only", "--userns=nomap", "--network=pasta", "--pids-limit=0")
_BRING = "Run the playbook with `--tags image`: it brings the image again, and stops no engine"
# What Podman says of a storage that was damaged: by a power cut, a disk, a hand.
_BEYOND_USE = re.compile(r"not a database|disk image is malformed|configure storage: loading ")
_DAMAGED = re.compile("reading (blob|layer)|layer not known|may be corrupted|image not known")


def check(settings: Settings) -> Iterator[Finding]:
    version = run("podman", "--version")
    if version.failed:
        yield complaint("Podman", version, "Install the package podman")
        return
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?\S*", version.out)
    if found is None or tuple(int(part or 0) for part in found.groups()) < _OLDEST:
        yield wrong(f"{version.out} is too old", "Install Podman 5.4.1 or newer")
    else:
        yield well(f"Podman is {found[0]}")
    yield _answers()
    opened = run("podman", "ps", "--all", "--quiet", "--no-trunc")
    if opened.failed:
        yield _unopened(opened)
        return
    yield from _image(settings)


def _unopened(opened: Ran) -> Finding:
    """Nothing can start from such a storage, so that to put it aside makes nothing worse."""
    what = "Podman's storage cannot be opened"
    if is_known(opened) or not _BEYOND_USE.search(opened.complaint):
        return complaint(what, opened, "Run `podman info` as the user")
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    storage = f"{data}/containers/storage"
    aside = f"{storage}.aside-{time.strftime('%Y%m%d-%H%M%S')}"
    return mendable(f"{what}: {opened.complaint}", ("mv", "--no-target-directory", storage, aside))


def _image(settings: Settings) -> Iterator[Finding]:
    image = settings.target_image or ""  # the settings would not have loaded without one
    present = run("podman", "image", "exists", image)
    if present.status == 1 and not present.complaint:
        missing = f"the engine image {image} is not here"
        if "@" in image:
            yield mendable(missing, _pull(image))
        else:
            yield wrong(missing, _BRING)
        return
    # Reads all of it, and compares what it reads with what was brought.
    whole = present if present.failed else run("podman", "save", "--quiet", "-o", os.devnull, image)
    if whole.failed and _DAMAGED.search(whole.complaint) and not is_known(whole):
        yield wrong(f"the engine image {image} is damaged: {whole.complaint}", _BRING)
    elif whole.failed:
        yield complaint("images", whole, "Run `podman info` as the user")
    else:
        yield well("the engine image is here, and whole")
        yield _container(image, ports.present(settings.engine_host))


def _pull(image: str) -> Command:
    """With the proxy and the login that the playbook was given; nothing but pulls has them."""
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    proxy = Path(config, "containers/acekeeper-pull.conf")
    login = Path(config, "containers/acekeeper-auth.json")
    module = [f"--module={proxy}"] if proxy.exists() else []
    authfile = [f"--authfile={login}"] if login.exists() else []
    return ("podman", *module, "pull", "--quiet", *authfile, image)


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
            return mendable(
                f"podman.socket is active, but nobody answers on {path} ({why})",
                ("systemctl", "--user", "restart", "podman.socket"),
            )
        return mendable(
            f"nobody answers on {path} ({why})",
            ("systemctl", "--user", "enable", "--now", "podman.socket"),
        )
    finally:
        connection.close()
    if status != http.client.OK:
        return wrong(
            f"{path} answered {status}", f"`{systemctl('status', 'podman.service')}` says more"
        )
    return well("podman.socket answers")
