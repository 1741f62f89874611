import os
from pathlib import Path

import pytest

from acekeeper.adapters.template import Template
from acekeeper.core.build import Build

IMAGE = "ab" * 32


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    path = tmp_path / "run/systemd/generator/engine@.service"
    path.parent.mkdir(parents=True)
    path.write_text("[Service]\nExecStart=/bin/true run $IMAGE\n")
    return path


@pytest.fixture
def drop_ins(tmp_path: Path, generated: Path) -> Path:
    path = tmp_path / "settings/systemd/user/engine@.service.d"
    path.mkdir(parents=True)
    reload(generated)
    return path


def template(generated: Path, image: str = IMAGE) -> Template:
    return Template(image, generated.parents[2])


def reload(generated: Path) -> None:
    """The generator writes it anew, after all that is there so far."""
    later = generated.stat().st_mtime_ns + 10**10
    os.utime(generated, ns=(later, later))


def test_a_build_is_of_the_image_and_of_all_the_unit_says(generated: Path, drop_ins: Path) -> None:
    seen = [template(generated).build(), template(generated, "another").build()]
    assert [build.image for build in seen] == [IMAGE, "another"]
    generated.write_text("[Service]\nExecStart=/bin/true --other\n")
    reload(generated)
    seen.append(template(generated).build())
    for name, text in (("a", "[Service]\n"), ("b", "[Service]\n"), ("b", "[Service]\nNice=1\n")):
        (drop_ins / f"{name}.conf").write_text(text)
        reload(generated)
        seen.append(template(generated).build())
    assert len({build.fingerprint for build in seen}) == len(seen)
    assert template(generated).build() == seen[-1]


def test_the_order_of_the_options_says_nothing(generated: Path) -> None:
    unit = "[X-Container]\nExec=--a 1 --b 2\n[Service]\nExecStart=/bin/true {} $IMAGE --a 1 --b 2\n"
    generated.write_text(unit.format("--init --rm"))
    before = template(generated).build()
    generated.write_text(unit.format("--rm --init"))
    assert template(generated).build() == before
    generated.write_text(unit.format("--rm --init").replace("--a 1 --b 2", "--a 2 --b 1"))
    assert template(generated).build() != before


def test_what_systemd_has_not_read_yet_is_not_in_force(generated: Path, drop_ins: Path) -> None:
    unit = template(generated)
    before = unit.build()
    newer = generated.stat().st_mtime_ns + 10**9
    (drop_ins / "a.conf").write_text("[Service]\n")
    os.utime(drop_ins / "a.conf", ns=(newer, newer))
    assert unit.build() == before
    generated.unlink()  # it reloads
    assert unit.build() == before
    generated.write_text("[Service]\nExecStart=/bin/true run $IMAGE\n")
    os.utime(generated, ns=(newer, newer))
    after = unit.build()
    assert after != before
    (drop_ins / "a.conf").unlink()
    os.utime(drop_ins, ns=(newer + 1, newer + 1))
    assert unit.build() == after
    reload(generated)
    assert unit.build() == before


def test_a_unit_that_is_not_there_and_a_program_that_is_not_are_named(generated: Path) -> None:
    assert template(generated).absence == ""
    generated.write_text("[Service]\nExecStart=-/nowhere/podman run\n")
    assert template(generated).absence == "/nowhere/podman is not there, or cannot be run"
    generated.unlink()
    assert "engine@.service is not there" in template(generated).absence
    assert template(generated).build() == Build(IMAGE)
