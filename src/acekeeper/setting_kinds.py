"""The kinds of settings: how a value is written, what is allowed, what it becomes."""

import ipaddress
import re
import shlex
import string
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from acekeeper.errors import BadSetting

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Secret:
    """Shows its value only to who asks for it by `reveal`."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"


@dataclass(frozen=True)
class Kind:
    parse: Callable[[str], object]  # raises ValueError with what is wrong: "is not …"
    default: str  # as an operator would write it; empty is unset
    allowed: str  # completes "Set it to …"
    older_name: str = ""
    secret: bool = False
    unset: object = None  # what it becomes where nothing is given and there is no default

    def find(self, name: str, layers: Mapping[str, Mapping[str, str]]) -> tuple[Any, str]:
        """The value and where it came from. Empty is unset, as in Docker's and systemd's files."""
        for source, layer in layers.items():
            for spelling in (name, self.older_name):
                if said := layer.get(spelling, "").strip():
                    return self._read(spelling, said), source
        return self.unset, "default"

    def _read(self, spelling: str, said: str) -> object:
        try:
            if not said.isprintable():
                raise ValueError("has a control character in it")
            return self.parse(said)
        except ValueError as error:
            shown = said if said.isprintable() else ascii(said)[1:-1]
            wrong = spelling if self.secret else f"{spelling}={shown[:200]}"
            raise BadSetting(f"{wrong} {error}", f"Set it to {self.allowed}") from None


def whole(default: int, low: int, high: int, *, unit: str = "", older_name: str = "") -> Kind:
    allowed = f"a whole number{unit and f' of {unit}'} from {low} to {high}"
    parse = partial(_number, r"-?[0-9]{1,18}", int, "a whole number", low, high)
    return Kind(parse, str(default), allowed, older_name)


def seconds(default: float, low: float, high: float, *, older_name: str = "") -> Kind:
    allowed = f"a number of seconds from {low:g} to {high:g}"
    parse = partial(_number, r"-?([0-9]*\.)?[0-9]+", float, "a number of seconds", low, high)
    return Kind(parse, f"{default:g}", allowed, older_name)


def _number(
    form: str, of: Callable[[str], float], what: str, low: float, high: float, said: str
) -> float:
    if not re.fullmatch(form, said):
        raise ValueError(f"is not {what}")
    if not low <= of(said) <= high:
        raise ValueError("is out of range")
    return of(said)


def memory(least: int) -> Kind:
    """In MiB, as systemd understands the same words."""

    def parse(said: str) -> int:
        found = re.fullmatch(r"([0-9]{1,9})([MG])", said.upper())
        if not found:
            raise ValueError("is not a size such as 1G")
        size = int(found[1]) * (1024 if found[2] == "G" else 1)
        if size < least:
            raise ValueError("is less than an engine needs")
        return size

    return Kind(parse, "", f"a size in M or G (of 1024), from {least}M")


def flag(default: str) -> Kind:
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False}

    def parse(said: str) -> bool:
        if said.lower() not in words:
            raise ValueError("is neither true nor false")
        return words[said.lower()]

    return Kind(parse, default, "true or false")


def choice(default: str, choices: tuple[str, ...]) -> Kind:
    spellings = {choice.lower(): choice for choice in choices}

    def parse(said: str) -> str:
        if said.lower() not in spellings:
            raise ValueError("is not one of the choices")
        return spellings[said.lower()]

    return Kind(parse, default, f"{', '.join(choices[:-1])} or {choices[-1]}")


def path(default: str) -> Kind:
    def parse(said: str) -> Path:
        try:
            path = Path(said).expanduser()
        except RuntimeError:
            raise ValueError("is in a home directory that is not known") from None
        if not path.is_absolute():
            raise ValueError("is not an absolute path")
        return path

    return Kind(parse, default, "an absolute path")


def secret() -> Kind:
    def parse(said: str) -> Secret:
        if not re.fullmatch(r"[!-~]+", said):
            raise ValueError("has characters no header can carry (its value is not shown)")
        return Secret(said)

    return Kind(parse, "", "visible ASCII characters without spaces", secret=True)


def address(default: str) -> Kind:
    def parse(said: str) -> str:
        if said.lower() == "localhost":
            return "localhost"
        try:
            return str(ipaddress.ip_address(said))
        except ValueError:
            raise ValueError("is not an IP address") from None

    return Kind(parse, default, "an IP address or localhost")


def ipv4(default: str) -> Kind:
    def parse(said: str) -> str:
        try:
            return str(ipaddress.IPv4Address(said))
        except ValueError:
            raise ValueError("is not an IPv4 address") from None

    return Kind(parse, default, "an IPv4 address")


def addresses(default: str) -> Kind:
    """A list that 127.0.0.1 always begins, unless 0.0.0.0 is all of it. Engines have no IPv6."""

    def parse(said: str) -> tuple[str, ...]:
        words = [word.strip() for word in said.split(",")]
        try:
            found = [str(ipaddress.IPv4Address(w)) for w in words if w.lower() != "localhost"]
        except ValueError:
            raise ValueError("is not a list of IPv4 addresses") from None
        return ("0.0.0.0",) if "0.0.0.0" in found else tuple(dict.fromkeys(["127.0.0.1", *found]))

    allowed = "IPv4 addresses, separated by commas; 127.0.0.1 is always one, 0.0.0.0 is all"
    return Kind(parse, default, allowed)


def networks() -> Kind:
    def parse(said: str) -> tuple[Network, ...]:
        try:
            return tuple(ipaddress.ip_network(word.strip()) for word in said.split(","))
        except ValueError as error:
            raise ValueError(f"is not a list of networks ({error})") from None

    return Kind(parse, "", "networks such as 192.168.1.0/24, separated by commas", unset=())


def vpn_names() -> Kind:
    """Names that a unit, a container and a label can carry."""

    def parse(said: str) -> tuple[str, ...]:
        names = tuple(word.strip() for word in said.split(","))
        if not all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name) for name in names):
            raise ValueError("is not a list of names")
        if len(names) != len(set(names)):
            raise ValueError("names one twice")
        return names

    allowed = "names of up to 32 of a-z, 0-9 and -, none with - first, separated by commas"
    return Kind(parse, "", allowed, unset=())


def label() -> Kind:
    """A name that can be one part of a subject, and of a DNS name."""

    def parse(said: str) -> str:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", said):
            raise ValueError("is not a valid name")
        return said

    allowed = "a name of up to 63 characters of a-z, 0-9 and -, with no - at either end"
    return Kind(parse, "", allowed, unset="")


def servers() -> Kind:
    def parse(said: str) -> tuple[tuple[str, int], ...]:
        found = [re.fullmatch(r"([0-9.]+):([0-9]{1,5})", word.strip()) for word in said.split(",")]
        try:
            named = [(str(ipaddress.IPv4Address(f[1])), int(f[2])) for f in found if f]
        except ValueError as error:
            raise ValueError(f"is not a list of servers ({error})") from None
        if len(named) != len(found) or not all(1 <= port <= 65535 for _, port in named):
            raise ValueError("is not a list of servers")
        return tuple(dict.fromkeys(named))

    allowed = "IPv4 addresses with ports, as 192.0.2.10:4222, separated by commas"
    return Kind(parse, "", allowed, unset=())


def port_range(default: str) -> Kind:
    def parse(said: str) -> range:
        ends = re.fullmatch(r"([0-9]{1,5}) *- *([0-9]{1,5})", said)
        if not ends:
            raise ValueError("is not a range of ports")
        first, last = int(ends[1]), int(ends[2])
        if not 1024 <= first <= last <= 65535:
            raise ValueError("is out of range")
        return range(first, last + 1)

    return Kind(parse, default, f"first-last, as {default}, from 1024 to 65535")


def image() -> Kind:
    # A tag may mean another image tomorrow, and one pool would run two of them.
    pinned = re.compile(r"[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}|(sha256:)?[0-9a-f]{64}")

    def parse(said: str) -> str:
        if not pinned.fullmatch(said):
            raise ValueError("names no image by its digest")
        return said

    return Kind(parse, "", "name@sha256:… or the full id of a loaded image")


def command(default: str) -> Kind:
    known = ("http_port", "addresses", "https_port", "p2p_port", "api_port")

    def parse(said: str) -> tuple[str, ...]:
        try:
            words = shlex.split(said)
            parsed = [
                part for w in words if w != "{python}" for part in string.Formatter().parse(w)
            ]
        except ValueError as error:
            raise ValueError(f"is not a command line ({error})") from None
        placeholders = [part[1:] for part in parsed if part[1] is not None]
        for name, *formatting in placeholders:
            if name not in known or any(formatting):
                raise ValueError(f"has the unknown placeholder {{{name}}}")
        if "http_port" not in [name for name, *_ in placeholders] or not words[0]:
            raise ValueError("lacks {http_port} or a program")
        python = sys.executable.replace("{", "{{").replace("}", "}}")
        return tuple(python if word == "{python}" else word for word in words)

    shown = ", ".join(f"{{{name}}}" for name in known[1:])
    return Kind(parse, default, f"a command line with {{http_port}} and, if used, {shown}")
