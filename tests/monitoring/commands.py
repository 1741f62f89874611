"""Whether a command of a page exists: the units, routes, options and words it names."""

import re
import shlex
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from acekeeper.adapters.engine_logs import log_file
from acekeeper.api.application import ROUTES
from acekeeper.cli.parser import parser
from acekeeper.core.happenings import HAPPENINGS
from acekeeper.core.names import HERE, Slot
from acekeeper.metrics import FAMILIES

ROOT = Path(__file__).parent.parent.parent
_SPAN = re.compile(r"`([^`\n]+)`")
_FENCE = re.compile(r"^ *```\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_MATCHED = re.compile(r"(_SYSTEMD_USER_(?:UNIT|SLICE)|USER_UNIT)=(.+)")
_STATE_DIR = "/var/lib/acekeeper/.local/state/acekeeper"
_ACCOUNT = "@$(id -u acekeeper).service"
_SERVER = "acekeeper-fleet.service"  # the playbook's
_OTHERS = {"curl", "df", "du", "find", "findmnt", "free", "getent", "ip", "ls", "nc", "ps", "ss"}
_OTHERS |= {"chown", "pkill", "systemd-cgtop", "timedatectl", "uptime"}


def commands(page: str) -> Iterator[list[str]]:
    """Of its blocks, and of its text where a span begins with the name of a program."""
    for block in _FENCE.findall(page):
        for line in block.splitlines():
            yield from _parts(line.strip())
    for span in _SPAN.findall(_FENCE.sub("", page)):
        program, _, rest = span.partition(" ")
        if rest and program in _CHECKS.keys() | _OTHERS:
            yield from _parts(span)


def blocks(page: str, heading: str) -> list[str]:
    """Those below one heading, as they are pasted."""
    below = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [textwrap.dedent(block) for block in _FENCE.findall(below)]


def _parts(line: str) -> Iterator[list[str]]:
    if re.match(r"export |api\(\) \{", line):  # they are tried, not read
        return
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&")
    lexer.whitespace_split = True
    part: list[str] = []
    for word in lexer:
        if word in {"|", ";", "&&"}:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def check(words: Sequence[str]) -> None:
    program, *rest = words
    if program not in _OTHERS:
        _CHECKS[program](rest)


def _systemctl(words: Sequence[str]) -> None:
    if words[0] != "--user":  # the account's whole systemd
        verb, unit = words
        assert (verb, unit) in {
            ("status", f"user{_ACCOUNT}"),
            ("status", _SERVER),
            ("restart", _SERVER),
            ("restart", f"user-runtime-dir{_ACCOUNT}"),
        }
        return
    assert words[1:3] == ["-M", "acekeeper@"]
    if words[3:] == ["--failed"]:
        return
    verb, *units = words[3:]
    assert verb in {"status", "start", "stop", "restart", "list-timers", "show"}
    while verb == "show" and units[0] == "-p":
        assert units[1] in {"MemoryMax", "MemoryCurrent"}
        del units[:2]
    assert units
    for unit in units:
        _unit(unit)


def _unit(name: str) -> None:
    if of_podman := re.fullmatch(r"(engine|vpn)@(?:\*|[a-z0-9]+\.service)", name):
        assert (ROOT / f"quadlets/{of_podman[1]}@.container").exists()
        return
    template = re.sub("@[^.]*", "@", name)
    found = list((ROOT / "systemd").glob(f"{template}{'' if '.' in name else '.*'}"))
    assert found, f"there is no unit {name}"


def _journalctl(words: Sequence[str]) -> None:
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    rest = iter(words)
    for word in rest:
        if word == "-g":
            text = next(rest)
            assert f'"{text}"' in source or {"-k", "-t"} & set(words), f"nobody logs {text}"
        elif word in {"-n", "-p", "-t"}:
            assert re.fullmatch(r"\d+|warning|systemd", next(rest))
        elif matched := _MATCHED.fullmatch(word):
            _unit(matched[2])
        elif word == "-u":
            assert next(rest) == _SERVER
        elif word == "_PID=1":
            assert next(rest) == f"UNIT=user{_ACCOUNT}"
        else:
            assert word in {"+", "-b", "-f", "-k", "--disk-usage", "--vacuum-size=500M"}, word


def _acekeeper(words: Sequence[str]) -> None:
    parser().parse_args(words)


def _api(words: Sequence[str]) -> None:
    method, target = words
    path, _, query = target.partition("?")
    for handler in ROUTES:
        templates = (re.sub(r"\{[^}]*\}", "[^/]+", template) for template in handler.paths)
        if method in handler.http_methods and any(re.fullmatch(t, path) for t in templates):
            break
    else:
        raise AssertionError(f"there is no route {method} {path}")
    for kind in re.findall(r"kind=(\w+)", query):
        assert kind in HAPPENINGS, f"nothing of the kind {kind} happens"


def _grep(words: Sequence[str]) -> None:
    for name in re.findall(r"(?:orch|acekeeper)_[a-z_]+(?:\([a-z_|]+\))?", words[-1]):
        beginning, _, ends = name.partition("(")
        for end in ends.rstrip(")").split("|"):
            assert beginning + end in FAMILIES, f"there are no series {beginning + end}"


def _systemd_run(words: Sequence[str]) -> None:
    how = ["--user", "-M", "acekeeper@", "--pipe", "--wait", "--collect", "-q", "podman"]
    assert words[: len(how)] == how
    assert " ".join(words[len(how) :]) == "images --digests"


def _tail(words: Sequence[str]) -> None:
    *_, path = words
    log = log_file(Path(_STATE_DIR), Slot(HERE, 19000))
    assert log.match(path.rpartition("/")[2])
    assert path.startswith(f"{log.parent}/")


_CHECKS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "acekeeper": _acekeeper,
    "api": _api,
    "grep": _grep,
    "journalctl": _journalctl,
    "systemctl": _systemctl,
    "systemd-run": _systemd_run,
    "tail": _tail,
}
