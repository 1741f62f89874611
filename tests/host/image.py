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
OCI = "application/vnd.oci.image"


@dataclass(frozen=True)
class Program:
    name: str  # of the image
    title: str  # a label of it, which says what it is
    source: Path
    package: str
    arguments: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class Image:
    archive: Path
    id: str  # as `podman image inspect` gives it, behind "sha256:"


def build(out_dir: Path, program: Program = ENGINE) -> Image:
    machine.check()
    layers = [_python().read_bytes(), _package(program)]
    config = _json(
        {
            "architecture": machine.architecture(),
            "os": "linux",
            "config": {
                "User": "1000:1000",
                "Env": ["PATH=/usr/bin", "PYTHONUNBUFFERED=1"],
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


def _python() -> Path:
    """The layer below the program."""
    sources = [Path(__file__).read_text(), inspect.getsource(debian)]
    recipe = [sources, machine.mirror(), machine.architecture()]
    return cache.kept("python.tar.gz", recipe, _make_python)


def _make_python(path: Path) -> None:
    whole = path.with_name("whole.tar")
    # Compiled once here: the image runs read-only, and every start would compile it again.
    compile_all = "python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3.*"
    debian.tarball(
        whole, "extract", PACKAGES, f"--customize-hook=chroot \"$1\" sh -c '{compile_all}'"
    )
    with tarfile.open(whole) as tar:
        path.write_bytes(_gzip(_tar(_kept(tar))))


def _kept(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for member in tar:
        member.name = member.name.removeprefix("./")
        if KEPT.fullmatch(member.name) and not LEFT_OUT.fullmatch(member.name):
            content = tar.extractfile(member) if member.isreg() else None
            yield member, content.read() if content else b""


def _package(program: Program) -> bytes:
    *parents, _ = program.package.split(".")
    files = [_file(f"{SITE}/{parent}/__init__.py", b"") for parent in parents]
    directory = f"{SITE}/{program.package.replace('.', '/')}"
    for path in program.source.rglob("*.py"):
        name = path.relative_to(program.source).as_posix()
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
        images = [build(Path(sys.argv[1]), program) for program in (ENGINE, ACEXY)]
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    for image in images:
        sys.stdout.write(f"{image.archive} {image.id}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
