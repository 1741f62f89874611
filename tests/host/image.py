"""The images for tests: a package of ours on a small Python, made without a registry.

    python -m tests.host.image OUT_DIR

The id of each is known before any Podman has seen it, and the same inputs give the same id.
"""

import gzip
import hashlib
import inspect
import io
import json
import re
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .lab import LabError, cache, debian, machine

ROOT = Path(__file__).parents[2]
SITE = "usr/lib/python3/dist-packages"
PACKAGES = ("base-files", "libpython3-stdlib", "python3-minimal")
KEPT = re.compile(
    r"bin|dev|etc|lib|lib64|proc|run|sbin|sys|tmp|usr|usr/bin|usr/lib|var|var/tmp"
    r"|etc/os-release|usr/lib/os-release|usr/bin/python3[\d.]*"
    r"|usr/lib64(/.*)?|usr/lib/python3[\d.]*(/.*)?|usr/lib/\w+-linux-gnu\w*(/.*)?"
)
LEFT_OUT = re.compile(r".*/(gconv|dist-packages)/.*")
TOOLS = re.compile(r"usr/s?bin/(ip|wg|wireguard-go|xtables-nft-multi|ip6?tables-nft)")
OCI = "application/vnd.oci.image"


@dataclass(frozen=True)
class Program:
    name: str  # of the image
    title: str  # a label of it, which says what it is
    source: Path
    package: str
    arguments: tuple[str, ...] = ()
    beside: tuple[tuple[str, Path], ...] = ()  # more packages, by name
    tools: tuple[str, ...] = ()  # packages of Debian
    user: str = "1000:1000"


ENGINE = Program(
    "localhost/acekeeper-engine:test",
    "An emulator of an AceStream engine",
    ROOT / "src/acekeeper/emulator",
    "acekeeper.emulator",
    ("--client-console", "--bind-all"),
)
ACEXY = Program(
    "localhost/acekeeper-acexy:test",
    "A stand-in for Acexy, made for tests",
    ROOT / "tests/acexy",
    "acexy",
)
# An engine that talks to others, which the emulator alone does not.
TALKING = Program(
    "localhost/acekeeper-talking-engine:test",
    "An emulator of an AceStream engine that talks to others",
    ROOT / "tests/host/vpn/talking",
    "talking",
    ENGINE.arguments,
    beside=((ENGINE.package, ENGINE.source),),
)
GLUETUN = Program(
    "localhost/acekeeper-gluetun:test",
    "A stand-in for Gluetun, made for tests",
    ROOT / "tests/host/vpn/gluetun",
    "gluetun",
    tools=("iproute2", "iptables", "wireguard-go", "wireguard-tools"),
    user="0:0",
)


@dataclass(frozen=True)
class Image:
    archive: Path
    id: str  # as `podman image inspect` gives it, behind "sha256:"


def build(out_dir: Path, program: Program = ENGINE) -> Image:
    machine.check()
    layers = [_below(program.tools).read_bytes(), _packages(program)]
    config = _json(
        {
            "architecture": machine.architecture(),
            "os": "linux",
            "config": {
                "User": program.user,
                "Env": ["PATH=/usr/sbin:/usr/bin", "PYTHONUNBUFFERED=1"],
                "Entrypoint": ["python3", "-m", program.package],
                "Cmd": program.arguments,
                "Labels": {"org.opencontainers.image.title": program.title},
                "WorkingDir": "/",
            },
            "rootfs": {
                "type": "layers",
                "diff_ids": [_digest(gzip.decompress(layer)) for layer in layers],
            },
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": _descriptor(f"{OCI}.config.v1+json", config),
            "layers": [_descriptor(f"{OCI}.layer.v1.tar+gzip", layer) for layer in layers],
        }
    )
    named = {"annotations": {"org.opencontainers.image.ref.name": program.name}}
    index = {
        "schemaVersion": 2,
        "manifests": [_descriptor(f"{OCI}.manifest.v1+json", manifest) | named],
    }
    files = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": _json(index)}
    for blob in (config, manifest, *layers):
        files[f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}"] = blob
    out_dir.mkdir(parents=True, exist_ok=True)
    archive = out_dir / f"{program.package}.oci.tar"
    unfinished = archive.with_suffix(".unfinished")
    unfinished.write_bytes(_tar(_file(name, data) for name, data in files.items()))
    return Image(unfinished.replace(archive), _digest(config))


def _below(tools: tuple[str, ...]) -> Path:
    """The layer below the program: Python, and these."""
    sources = [Path(__file__).read_text(), inspect.getsource(debian)]
    recipe = [sources, tools, machine.mirror(), machine.architecture()]
    return cache.kept("python.tar.gz", recipe, lambda path: _make_below(path, tools))


def _make_below(path: Path, tools: tuple[str, ...]) -> None:
    whole = path.with_name("whole.tar")
    # Compiled once here: the image runs read-only, and every start would compile it again.
    compile_all = "python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3.*"
    debian.tarball(
        whole,
        "extract",
        (*PACKAGES, *tools),
        f"--customize-hook=chroot \"$1\" sh -c '{compile_all}'",
    )
    with tarfile.open(whole) as tar:
        path.write_bytes(_gzip(_tar(_kept(tar))))


def _kept(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for member in tar:
        member.name = member.name.removeprefix("./")
        kept = KEPT.fullmatch(member.name) or TOOLS.fullmatch(member.name)
        if kept and not LEFT_OUT.fullmatch(member.name):
            content = tar.extractfile(member) if member.isreg() else None
            yield member, content.read() if content else b""


def _packages(program: Program) -> bytes:
    files = []
    for package, source in ((program.package, program.source), *program.beside):
        *parents, _ = package.split(".")
        files += [_file(f"{SITE}/{parent}/__init__.py", b"") for parent in parents]
        directory = f"{SITE}/{package.replace('.', '/')}"
        for path in source.rglob("*.py"):
            name = path.relative_to(source).as_posix()
            files.append(_file(f"{directory}/{name}", path.read_bytes()))
    return _gzip(_tar(iter(files)))


def _file(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def _tar(files: Iterator[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Nothing of when, where or by whom it was made is in it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member, content in sorted(files, key=lambda file: file[0].name):
            member.mtime = member.uid = member.gid = 0
            member.uname = member.gname = ""
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=6, mtime=0)


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m tests.host.image OUT_DIR\n")
        return 2
    try:
        images = [
            build(Path(sys.argv[1]), program) for program in (ENGINE, ACEXY, TALKING, GLUETUN)
        ]
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    for image in images:
        sys.stdout.write(f"{image.archive} {image.id}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
