"""What `make dist` makes; the wheels it downloads are stand-ins."""

import hashlib
import importlib.util
import io
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent / "ansible/release.py"
LOCK = r"""
both==1 \
    --hash=sha256:aa \
    --hash=sha256:bb
    # via
    #   acekeeper
old==2 ; python_full_version < '3.13' \
    --hash=sha256:cc
elsewhere==3 ; sys_platform == 'win32' \
    --hash=sha256:dd
arm==4 ; platform_machine == 'aarch64' \
    --hash=sha256:ee
"""


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lock = tmp_path / "requirements.lock"
    lock.write_text(LOCK)
    monkeypatch.setattr(module, "LOCK", lock)
    monkeypatch.setattr(module, "DIST", tmp_path)
    monkeypatch.setattr(module, "WHEELS", tmp_path / "wheels")
    for target in module.TARGETS:
        directory = tmp_path / "wheels" / str(target)
        directory.mkdir(parents=True)
        (directory / "both-1-py3-none-any.whl").write_bytes(b"both")
    key = hashlib.sha256((LOCK + SCRIPT.read_text()).encode()).hexdigest()
    (tmp_path / "wheels/complete").write_text(key)
    return module


def test_a_target_gets_what_its_markers_ask_for(release: ModuleType) -> None:
    def names(target: object) -> set[str]:
        return {line.partition("==")[0] for line in release.requirements_for(target, LOCK)}

    assert names(release.Target("3.11", "x86_64")) == {"both", "old"}
    assert names(release.Target("3.13", "aarch64")) == {"both", "arm"}
    asked = list(release.requirements_for(release.Target("3.13", "x86_64"), LOCK))
    assert asked == ["both==1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"]


def test_the_same_sources_give_the_same_bytes(release: ModuleType, tmp_path: Path) -> None:
    release.main()
    one = content(tmp_path / "release")
    (tmp_path / "wheels" / str(release.TARGETS[0]) / "both-1-py3-none-any.whl").touch()
    release.main()
    assert content(tmp_path / "release") == one
    assert {"BUILD", "systemd/acekeeper.service", "quadlets/engine@.container"} <= one.keys()


def test_other_wheels_or_units_are_another_build_and_the_one_before_is_kept(
    release: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release.main()
    one = (tmp_path / "release/BUILD").read_text().strip()
    kept = content(tmp_path / "release")
    monkeypatch.setattr(release, "UNITS", ())
    release.main()
    other = (tmp_path / "release/BUILD").read_text().strip()
    (tmp_path / "wheels" / str(release.TARGETS[0]) / "both-1-py3-none-any.whl").write_bytes(b"2")
    release.main()
    third = (tmp_path / "release/BUILD").read_text().strip()
    assert len({one, other, third}) == 3
    assert {path.name for path in (tmp_path / "releases").iterdir()} == {one, other, third}
    assert content(tmp_path / "releases" / one) == kept


def test_our_own_wheel_is_in_every_wheelhouse_and_pinned(
    release: ModuleType, tmp_path: Path
) -> None:
    release.main()
    requirements = (tmp_path / "release/requirements.txt").read_text()
    for target in release.TARGETS:
        with tarfile.open(tmp_path / f"release/wheelhouse-{target}.tar") as archive:
            (name,) = (n for n in archive.getnames() if n.startswith("acekeeper-"))
            wheel = archive.extractfile(name)
            assert wheel
            own = wheel.read()
            digest = hashlib.sha256(own).hexdigest()
        assert f"--hash=sha256:{digest}" in requirements
        with zipfile.ZipFile(io.BytesIO(own)) as files:
            inside = {Path(name) for name in files.namelist()}
        for path in (SCRIPT.parent.parent / "src/acekeeper/panel").iterdir():
            assert Path("acekeeper/panel", path.name) in inside


def content(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}
