"""Makes a release, all that the playbook brings to a host. `make dist` runs it.

dist/releases keeps each by its name, until somebody deletes it; dist/release leads to the last.

    BUILD                          its name: the version, and a digest of the rest
    requirements.txt               acekeeper and what it needs, with the hashes of them all
    wheelhouse-PYTHON-MACHINE.tar  them all as wheels
    systemd/ quadlets/

The same commit gives the same bytes.
"""

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.markers import Marker

from acekeeper import __version__

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements.lock"
DIST = ROOT / "dist"
WHEELS = DIST / "wheels"
UNITS = ("systemd", "quadlets")
GLIBC_MINOR = 36  # of the oldest host meant, Debian 12


class Target(NamedTuple):
    python: str
    machine: str

    def __str__(self) -> str:
        return f"{self.python}-{self.machine}"


TARGETS = [
    Target(python, machine) for python in ("3.11", "3.13") for machine in ("x86_64", "aarch64")
]


def main() -> None:
    download()
    making = DIST / "release.unfinished"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    own = build(making)
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    requirements = f"acekeeper=={__version__} \\\n    --hash=sha256:{digest}\n" + LOCK.read_text()
    (making / "requirements.txt").write_text(requirements)
    for target in TARGETS:
        wheels = [own, *(WHEELS / str(target)).iterdir()]
        tar(making / f"wheelhouse-{target}.tar", sorted(wheels, key=lambda path: path.name))
    own.unlink()
    for directory in UNITS:
        shutil.copytree(ROOT / directory, making / directory)
    name = f"{__version__}+{digest_of(making)[:8]}"
    (making / "BUILD").write_text(f"{name}\n")
    keep(making, name)
    sys.stdout.write(f"dist/release is {name}\n")


def digest_of(directory: Path) -> str:
    """Of the names and contents of all that is in it."""
    digest = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(directory)} {content}\n".encode())
    return digest.hexdigest()


def keep(made: Path, name: str) -> None:
    kept, last, link = DIST / "releases" / name, DIST / "release", DIST / "release.new"
    kept.parent.mkdir(exist_ok=True)
    shutil.rmtree(kept, ignore_errors=True)
    made.rename(kept)
    link.unlink(missing_ok=True)
    link.symlink_to(kept.relative_to(DIST))
    if last.is_dir() and not last.is_symlink():  # an earlier version's
        shutil.rmtree(last)
    link.replace(last)


def download() -> None:
    """Once for each lock: another lock begins anew, so that no wheel of this one stays behind."""
    lock = LOCK.read_text()
    key = hashlib.sha256((lock + Path(__file__).read_text()).encode()).hexdigest()
    complete = WHEELS / "complete"
    if complete.exists() and complete.read_text() == key:
        return
    shutil.rmtree(WHEELS, ignore_errors=True)
    WHEELS.mkdir(parents=True)
    wanted = WHEELS / "wanted.txt"
    for target in TARGETS:
        wanted.write_text("".join(requirements_for(target, lock)))
        python("pip", "download", "-qq", "--no-deps", "--require-hashes", *flags(target))
    complete.write_text(key)


def flags(target: Target) -> Iterator[str]:
    yield f"--requirement={WHEELS / 'wanted.txt'}"
    yield f"--dest={WHEELS / str(target)}"
    yield "--only-binary=:all:"
    yield f"--python-version={target.python}"
    for minor in range(GLIBC_MINOR, 16, -1):
        yield f"--platform=manylinux_2_{minor}_{target.machine}"
    yield f"--platform=manylinux2014_{target.machine}"


def requirements_for(target: Target, lock: str) -> Iterator[str]:
    """pip itself would judge the markers by the Python it runs on."""
    environment = {
        "python_version": target.python,
        "python_full_version": f"{target.python}.0",
        "platform_machine": target.machine,
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    entry = r"^(\S+==\S+)(?: ; (.+?))? (\\\n(?: +--hash.*\n)+)"
    for name, marker, hashes in re.findall(entry, lock, re.MULTILINE):
        if not marker or Marker(marker).evaluate(environment):
            yield f"{name} {hashes}"


def build(directory: Path) -> Path:
    python("hatchling", "build", "--target", "wheel", "--directory", str(directory))
    (wheel,) = directory.glob("*.whl")
    return wheel


def tar(archive: Path, files: list[Path]) -> None:
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as out:
        for path in files:
            content = path.read_bytes()
            member = tarfile.TarInfo(path.name)
            member.size = len(content)
            out.addfile(member, io.BytesIO(content))


def python(module: str, *arguments: str) -> None:
    # A date from outside would get into the wheel.
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    command = [sys.executable, "-m", module, *arguments]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        sys.exit(f"{result.stdout}{result.stderr}make dist: {module} failed, as said above")


if __name__ == "__main__":
    main()
