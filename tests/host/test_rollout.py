"""Engines are replaced when their image or their unit changes; and what cannot start stops that."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import deploying, image
from .asking import KEY, Asked
from .deploying import Deployer, as_user, engines
from .lab import Lab
from .viewing import Viewing
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

MIN_REPLICAS, MAX_REPLICAS = 2, 6
SETTINGS: dict[str, object] = {
    "MIN_REPLICAS": MIN_REPLICAS,
    "MAX_REPLICAS": MAX_REPLICAS,
    "AUTOSCALE_INTERVAL_S": 2,
    "ENGINE_GRACE_PERIOD_S": 86400,  # so that none goes for being one too many
    "CIRCUIT_BREAKER_THRESHOLD": 3,
}
SETTINGS_ALONE = ("--tags", "settings")
IMAGE_TOO = ("--tags", "image,settings")
MANY, WATCHED = 10, 5


@dataclass(frozen=True)
class Rolling(Asked):
    deployer: Deployer
    directory: Path

    def images(self) -> dict[int, str]:
        """By port; of all engines that are not on their way out."""
        found = self.get("/engines?include=all")
        return {e["port"]: e["image"] for e in found if e["phase"] == "running"}

    def build(self, name: str, source: Path | None = None) -> image.Image:
        """Another image for each name: it says so itself."""
        program = dataclasses.replace(image.ENGINE, title=f"An engine, {name}")
        if source is not None:
            program = dataclasses.replace(program, source=source)
        return image.build(self.directory / name, program)

    def have(self, built: image.Image, *options: str) -> str:
        """The id of that image, which is deployed."""
        self.deployer.variables.update(deploying.from_archive(built))
        self.deployer.deploy(*options)
        return built.id.removeprefix("sha256:")

    def set_image(self, image_id: str) -> None:
        """By hand: the playbook would try it first."""
        setting = f"/^TARGET_IMAGE=/s/=.*/={image_id.removeprefix('sha256:')}/"
        self.host.ssh(f"sed -i '{setting}' /etc/acekeeper/settings.env")
        as_user(self.host, "systemctl --user restart acekeeper.service")

    def load(self, built: image.Image) -> None:
        self.host.copy(built.archive, "/opt/image.tar")
        self.host.ssh("chmod 644 /opt/image.tar")
        as_user(self.host, "podman load --quiet --input /opt/image.tar")

    def is_over(self) -> bool:
        return self.status()["rollout"] is None

    def stop_one(self) -> None:
        unit = next(iter(engines(self.host)))
        as_user(self.host, f"systemctl --user stop {unit}")


@pytest.fixture(scope="module")
def rolling(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolling]:
    host = lab.up(91)
    directory = tmp_path_factory.mktemp("deployed")
    yield Rolling(host, deploying.deploy(host, directory, SETTINGS, KEY), directory)
    lab.down(91)


def test_another_image_is_had_by_all_engines_and_no_stream_notices(
    rolling: Rolling, tell: Callable[[str], None]
) -> None:
    host = rolling.host
    until(lambda: rolling.status()["capacity"]["available"] >= MIN_REPLICAS)
    with Viewing(host, KEY) as viewing:
        [begun] = viewing.do("begin", 1)
        until(lambda: viewing.free() >= MIN_REPLICAS)
        unit = f"engine@{begun['port']}.service"
        start = engines(host)[unit]
        new = rolling.have(rolling.build("new"), *IMAGE_TOO)
        began = time.monotonic()
        assert rolling.images()[begun["port"]] != new

        def has_all_but_one() -> bool:
            assert viewing.free() >= MIN_REPLICAS
            others = {port: its for port, its in rolling.images().items() if port != begun["port"]}
            return len(others) >= MIN_REPLICAS and {*others.values()} == {new}

        until(has_all_but_one)
        tell(f"rollout: {MIN_REPLICAS} free engines replaced in {time.monotonic() - began:.0f} s")
        until(lambda: rolling.status()["rollout"]["reasons"] == {"image_changed": 1})
        shown = as_user(
            host,
            "env SETTINGS_FILE=/etc/acekeeper/settings.env RUNTIME=quadlet"
            " /opt/acekeeper/current/bin/acekeeper status",
        )
        assert "(1 image_changed)" in shown
        assert viewing.do("playing") == [True]
        assert engines(host)[unit] == start
        assert viewing.do("leave") == [True]
    until(rolling.is_over)
    assert {*rolling.images().values()} == {new}
    [engine, *_] = rolling.get("/engines")
    assert new in rolling.get(f"/containers/{engine['container_id']}")["image_id"]
    files = host.ssh("grep -h FINGERPRINT /var/lib/acekeeper/.local/state/acekeeper/engines/*")
    assert len({*files.stdout.split()}) == 1


def test_an_image_that_ends_at_once_stops_it_and_the_next_image_closes_the_breaker(
    rolling: Rolling, tell: Callable[[str], None]
) -> None:
    broken = rolling.directory / "broken-source"
    broken.mkdir()
    (broken / "__main__.py").write_text("raise SystemExit(3)\n")
    until(lambda: rolling.status()["capacity"]["available"] >= MIN_REPLICAS)
    before = engines(rolling.host)
    image_that_ends = rolling.build("broken", broken)
    rolling.load(image_that_ends)
    rolling.set_image(image_that_ends.id)
    until(lambda: (rolling.status()["rollout"] or {}).get("stopped") == "starts_fail")
    assert before.items() <= engines(rolling.host).items()  # what fails may be there for a moment
    assert rolling.status()["provisioning"]["circuit_breaker_state"] == "closed"
    assert any("outdated" in wrong for wrong in rolling.degraded())
    rolling.stop_one()
    until(lambda: rolling.status()["provisioning"]["circuit_breaker_state"] == "open")
    good = rolling.have(rolling.build("good"), *IMAGE_TOO)
    began = time.monotonic()
    until(lambda: rolling.status()["provisioning"]["circuit_breaker_state"] == "closed")
    tell(f"rollout: breaker closed {time.monotonic() - began:.1f} s after the good image")
    assert rolling.log("breaker_closed")[0]["data"]["why"] == "image_changed"
    until(rolling.is_over)
    assert {*rolling.images().values()} == {good}


def test_an_image_that_is_not_there_burns_no_start_and_its_coming_is_noticed(
    rolling: Rolling, tell: Callable[[str], None]
) -> None:
    later = rolling.build("later")
    rolling.set_image(later.id)
    until(lambda: any("not on this host" in w for w in rolling.degraded()))
    starts = rolling.log("engine_starting")
    rolling.stop_one()
    until(lambda: rolling.status()["capacity"]["available"] < MIN_REPLICAS)
    assert rolling.status()["rollout"]["stopped"] == "runtime_lacks"
    assert rolling.log("engine_starting") == starts
    rolling.load(later)
    began = time.monotonic()
    until(lambda: rolling.log("engine_starting") != starts)
    tell(f"rollout: an image that came was noticed after {time.monotonic() - began:.1f} s")
    until(rolling.is_over)
    assert {*rolling.images().values()} == {later.id.removeprefix("sha256:")}


@pytest.mark.long
def test_another_unit_is_had_by_all_once_systemd_has_read_it(rolling: Rolling) -> None:
    host = rolling.host
    until(lambda: rolling.status()["capacity"]["available"] >= MIN_REPLICAS)
    before = engines(host)
    drop_ins = "/var/lib/acekeeper/.config/systemd/user/engine@.service.d"
    as_user(host, f"mkdir -p {drop_ins}")
    as_user(host, f"sh -c 'printf \"[Service]\\nCPUWeight=50\\n\" > {drop_ins}/limits.conf'")
    rolling.host.ssh("systemctl --user -M acekeeper@ start acekeeper-sweep@scale.service")
    assert rolling.is_over()
    as_user(host, "systemctl --user daemon-reload")
    until(lambda: not rolling.is_over())
    assert {*rolling.status()["rollout"]["reasons"]} == {"unit_changed"}
    until(rolling.is_over)
    assert not before.items() & engines(host).items()


@pytest.mark.long
def test_many_engines_with_many_streams(rolling: Rolling, tell: Callable[[str], None]) -> None:
    """And a second change midway."""
    host = rolling.host
    free = MANY - WATCHED
    settings = SETTINGS | {"MIN_REPLICAS": free, "MAX_REPLICAS": MANY + 4}
    rolling.deployer.variables["acekeeper_settings"] = settings
    rolling.deployer.deploy(*SETTINGS_ALONE)
    with Viewing(host, KEY) as viewing:
        ports = [begun["port"] for begun in viewing.do("begin", WATCHED)]
        until(lambda: len(rolling.images()) >= MANY and viewing.free() >= free)
        started = engines(host)
        starts = {unit: started[unit] for unit in (f"engine@{port}.service" for port in ports)}
        rolling.have(rolling.build("first"), *IMAGE_TOO)
        until(lambda: not rolling.is_over())
        last = rolling.have(rolling.build("second"), *IMAGE_TOO)
        began = time.monotonic()

        def have_all_that_are_free() -> bool:
            assert viewing.free() >= free
            images = rolling.images()
            others = {its for port, its in images.items() if port not in ports}
            return len(images) >= MANY and others == {last}

        until(have_all_that_are_free)
        tell(f"rollout: {free} of {MANY} engines replaced in {time.monotonic() - began:.0f} s")
        assert viewing.do("playing") == [True] * WATCHED
        assert starts.items() <= engines(host).items()
        left = time.monotonic()
        assert viewing.do("leave") == [True] * WATCHED
    until(rolling.is_over)
    tell(f"rollout: {WATCHED} that played replaced {time.monotonic() - left:.0f} s after they left")
    assert {*rolling.images().values()} == {last}
