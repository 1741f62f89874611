"""The `acekeeper` command of a host: for root, for an operator with sudo, and for nobody else."""

import json
import os
import pty
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from . import deploying
from .asking import KEY
from .deploying import as_user, engine_pid, engines
from .lab import Host, Lab
from .lab.command import Result
from .waiting import until

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]

PROGRAM = "/opt/acekeeper/current/bin/acekeeper"
PEOPLE = """
useradd --create-home --shell /bin/bash keeper
useradd --create-home --shell /bin/bash visitor
echo 'keeper ALL=(acekeeper) NOPASSWD: /usr/local/bin/acekeeper' > /etc/sudoers.d/keeper
chmod 0440 /etc/sudoers.d/keeper
"""
COMPLETE = """
set -eu
source /usr/local/share/bash-completion/completions/acekeeper
complete -p acekeeper
complete_words() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _shtab_acekeeper
    echo "${COMPREPLY[@]}"
}
complete_words acekeeper st
complete_words acekeeper log --kind engine_di
"""
LIMIT_S = 60


@pytest.fixture(scope="module")
def host(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = lab.up(36)
    deploying.deploy(host, tmp_path_factory.mktemp("deployed"), {"MIN_REPLICAS": 2}, KEY)
    host.ssh(PEOPLE)
    until(lambda: len(engines(host)) == 2)
    yield host
    lab.down(36)


def run_as(host: Host, person: str, command: str) -> Result:
    """In the person's own directory, which the account may not enter."""
    become = f"runuser -l {person} -c" if person != "root" else "sh -c"
    return host.ssh(f"{become} '{command}'", check=False)


@pytest.mark.parametrize("person", ["root", "keeper"])
def test_who_may_runs_the_command_as_the_account(host: Host, person: str) -> None:
    for words, says in (
        ("status", r"^ready(, but: .*)?\n\d engines, "),
        ("engines", r"\nengine-\d+ .* running +healthy "),
        ("streams", r"^nothing plays\n"),
        ("log", r" engine ready: engine-\d+; "),
        ("settings", r"(?m)^API_KEY=\*\*\* .*# settings file$"),
        ("doctor", r"(?m)^ok     user acekeeper lingers$"),
        ("sweep health", r"^health: checked \d, "),
        ("reset-breaker", r"^the circuit breaker is closed"),
    ):
        ran = run_as(host, person, f"acekeeper {words}")
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        assert re.search(says, ran.stdout), ran.stdout
    trace = '[{"started_at": "2026-05-01T20:00:00Z", "ended_at": "2026-05-01T21:00:00Z"}]'
    simulated = host.ssh("acekeeper simulate -", stdin=trace).stdout
    assert re.search(r"(?m)^viewers +1 +1$", simulated)
    assert run_as(host, person, "acekeeper stop").returncode == 78  # systemd owns the engines
    assert run_as(host, person, "acekeeper status --nonsense").returncode == 2


def test_who_may_not_is_refused_in_words(host: Host) -> None:
    refused = run_as(host, "visitor", "acekeeper status")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.endswith(
        "acekeeper: this is for root, for acekeeper, and for whom sudoers lets run"
        " /usr/local/bin/acekeeper as acekeeper\n"
    )
    directly = f"SETTINGS_FILE=/etc/acekeeper/settings.env RUNTIME=quadlet {PROGRAM} status"
    refused = run_as(host, "visitor", directly)
    assert (refused.returncode, refused.stdout) == (78, "")
    assert refused.stderr == (
        "acekeeper: /etc/acekeeper/settings.env is for the account acekeeper, and this is another."
        " Run /usr/local/bin/acekeeper, which becomes that one if you may\n"
    )
    assert run_as(host, "root", directly).stderr == refused.stderr  # its systemd has no engines


def test_the_account_itself_needs_no_sudo(host: Host) -> None:
    assert as_user(host, "acekeeper status").startswith("ready")


def test_a_watch_on_a_terminal_ends_by_ctrl_c(host: Host) -> None:
    screen, terminal = pty.openpty()
    command = ["ssh", "-tt", *host.ssh_options, f"root@{host.address}"]
    with subprocess.Popen(
        [*command, "acekeeper status --watch 0.2"], stdin=terminal, stdout=terminal
    ) as watching:
        os.close(terminal)
        shown, deadline = "", time.monotonic() + LIMIT_S
        while shown.count("ready\x1b[K") < 2 and time.monotonic() < deadline:
            shown += os.read(screen, 65536).decode()
        os.write(screen, b"\x03")
        assert watching.wait(LIMIT_S) == 130
    os.close(screen)
    assert shown.count("ready\x1b[K") >= 2


def test_an_engine_is_drained_and_one_that_died_is_told_of(host: Host) -> None:
    first, second = sorted(engines(host))
    port = re.sub(r"\D", "", first)
    assert (
        host.ssh(f"acekeeper drain {first}").stdout
        == f"engine-{port} is draining; 0 streams on it\n"
    )
    wrong = host.ssh("acekeeper drain engine-1", check=False)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert re.match(r"acekeeper: no engine is called engine-1\. There are engine-\d+", wrong.stderr)

    host.ssh(f"kill -9 {engine_pid(host, second, 'python3 -m acekeeper.emulator')}")
    name = second.removesuffix(".service").replace("@", "-")
    died = f"acekeeper log --engine {second} --kind engine_died"
    until(lambda: f" engine died: {name}; cause " in host.ssh(died).stdout)
    assert re.search(
        rf"(?m)^last trouble, .*: engine died: {name}; ", host.ssh("acekeeper status").stdout
    )
    findings = json.loads(host.ssh("acekeeper doctor --json", check=False).stdout)
    [note] = (f for f in findings if "died in the last hour" in f["text"])
    assert note["ok"]
    assert note["text"].startswith("an engine died in the last hour: ")
    # Others come, and then the unit that failed is nothing to mend.
    until(lambda: len(re.findall(r" running +healthy ", host.ssh("acekeeper engines").stdout)) == 2)
    assert "wrong" not in host.ssh("acekeeper doctor").stdout


def test_shells_complete_it_and_there_is_a_man_page(host: Host) -> None:
    defined, commands, kinds = host.ssh("bash -s", stdin=COMPLETE).stdout.splitlines()
    assert defined.endswith("-F _shtab_acekeeper acekeeper")
    assert commands == "status streams stop"
    assert kinds == "engine_died"
    page = host.ssh("cat /usr/local/share/man/man1/acekeeper.1").stdout
    assert page.startswith('.TH ACEKEEPER "1"')
    assert "acekeeper reset" in page
    if host.ssh("command -v man", check=False).returncode == 0:
        assert "reset-breaker" in host.ssh("MANPAGER=cat man acekeeper").stdout
    for path in ("zsh/site-functions/_acekeeper", "fish/vendor_completions.d/acekeeper.fish"):
        host.ssh(f"test -s /usr/local/share/{path}")


def test_a_pasted_script_goes_on_after_it(host: Host) -> None:
    """Nothing on the way reads what is pasted next."""
    pasted = host.ssh("bash -s", stdin="acekeeper engines\nacekeeper status --json\necho after\n")
    assert pasted.stdout.startswith("ENGINE ")
    assert pasted.stdout.endswith("}\nafter\n")
