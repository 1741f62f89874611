"""A host is its owner's: what a deployment takes, and what an uninstall leaves."""

import re
from pathlib import Path

import pytest

from . import deploying
from .deploying import Deployer, as_user, differences, found
from .lab import Host, Lab

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

PURGE = ("-e", "acekeeper_purge=true", "-e", "acekeeper_remove_packages=true")
VARIABLES = {
    "acekeeper_image": "0" * 64,
    "acekeeper_image_archive": __file__,  # no image is looked at before a host is refused
    "acekeeper_engine_variant": "emulator",
}
SOMEBODYS_ACCOUNT = """
useradd --create-home --shell /bin/bash --user-group --add-subids-for-system acekeeper
mkdir -p /var/lib/systemd/linger && touch /var/lib/systemd/linger/acekeeper
"""
SOMEBODYS_OTHERS = """
groupadd acekeeper
mkdir -p /var/lib/acekeeper /opt/acekeeper/systemd /etc/acekeeper
touch /var/lib/acekeeper/file /opt/acekeeper/README.md /etc/acekeeper/settings.env
touch /usr/local/bin/acekeeper
echo 'bob:200000:65536' | tee -a /etc/subuid >> /etc/subgid
echo 'acekeeper:250000:65536' | tee -a /etc/subuid >> /etc/subgid
"""
# Beside what the deployment has by then.
OWNERS = """
cd /etc && mkdir -p acekeeper && echo kept > acekeeper/notes
uid=$(id -u acekeeper)
echo '[Service]' > systemd/system/user@$uid.service.d/owner.conf
echo '[Container]' > containers/systemd/users/$uid/engine@.container.d/owner.conf
useradd --create-home owner && loginctl enable-linger owner
"""


def refused(deployer: Deployer, host: Host) -> str:
    before = found(host)
    played = deployer.play("deploy.yml", check=False)
    assert played.status != 0
    assert played.changes() == []
    assert list(differences(before, found(host))) == []
    [said] = re.findall(rf"^\[ERROR\]: .*?{host.name} needs (.*)$", played.output, re.MULTILINE)
    return str(said)


def test_what_is_somebody_elses_is_neither_taken_nor_removed(lab: Lab, tmp_path: Path) -> None:
    host = lab.up(81)
    deployer = Deployer(tmp_path, [host], VARIABLES)
    host.ssh(SOMEBODYS_ACCOUNT)
    assert refused(deployer, host) == (
        "the name acekeeper for an account of its own: there is one, whose home is"
        " /home/acekeeper and not /var/lib/acekeeper; give that one another name"
        " (`usermod --login`) or remove it"
    )
    before = found(host)
    deployer.play("uninstall.yml", *PURGE)
    assert list(differences(before, found(host))) == []

    host.ssh("loginctl disable-linger acekeeper; userdel --remove acekeeper")
    host.ssh(SOMEBODYS_OTHERS)
    assert refused(deployer, host).split("; and ") == [
        "the name acekeeper for a group of its own: there is one, of no account of that name;"
        " give that one another name (`groupmod --new-name`) or remove it",
        "/var/lib/acekeeper for the account's home: it is there and belongs to root; move it"
        " elsewhere or remove it",
        "/opt/acekeeper for its releases: there is something of somebody else's; move it"
        " elsewhere or remove it",
        "/etc/acekeeper/settings.env for its settings: there are some of no deployment; move"
        " them elsewhere or remove them",
        "/usr/local/bin/acekeeper for its command: there is something of somebody else's; move it"
        " elsewhere or remove it",
        "subordinate ids of its own: bob has them too, by /etc/subuid or /etc/subgid; change the"
        " lines of one of them",
    ]
    before = found(host)
    deployer.play("uninstall.yml", *PURGE)
    assert list(differences(before, found(host))) == []
    lab.down(81)


def test_what_the_owner_came_to_use_stays(lab: Lab, tmp_path: Path) -> None:
    host = lab.up(82)
    # As on a host whose root has no password.
    host.ssh("passwd --lock root")
    deployer = deploying.deploy(host, tmp_path, {"MIN_REPLICAS": 0})
    uid = as_user(host, "id -u").strip()
    before = found(host)
    host.ssh(OWNERS)
    deployed = found(host)
    owners = {line.split(" ")[3] for line in differences(before, deployed) if "in files" in line}
    assert len(owners) > 3

    deployer.play("uninstall.yml")
    left = found(host)
    assert left["packages"] == deployed["packages"]
    assert left["accounts"] == deployed["accounts"]
    assert "owner" in left["lingering"]
    kept = {line.split(" ")[0] for line in left["files"]}
    assert owners - kept == set()
    host.ssh("sudo -n true && curl --version && podman --version && sudo -u owner true")
    gone = {line.split(" ")[0] for line in deployed["files"]} - kept
    ours = (
        r"/opt/acekeeper|/etc/acekeeper/settings\.env|/var/lib/(acekeeper|systemd/linger)/"
        r"|/usr/local/(bin/acekeeper$|share/(man/man1|bash-completion|fish|zsh)(/|$))"
        rf"|/etc/systemd/system/user@{uid}\.service\.d/acekeeper\.conf"
        rf"|/etc/containers/systemd/users/{uid}/(engine|canary)@\.container(\.d/\w+\.conf|\.d)?$"
    )
    assert [path for path in sorted(gone) if not re.match(ours, path)] == []
    assert deployer.play("uninstall.yml").changed == {host.name: 0}

    deployer.play("uninstall.yml", *PURGE)  # too late for packages: they are the host's by now
    purged = found(host)
    assert purged["packages"] == deployed["packages"]
    assert not any(line.startswith("acekeeper:") for line in purged["accounts"])
    assert owners - {line.split(" ")[0] for line in purged["files"]} == set()
    assert deployer.play("uninstall.yml", *PURGE).changed == {host.name: 0}
    lab.down(82)
