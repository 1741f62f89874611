"""Drop-ins for what the units cannot read from an environment file: addresses, intervals, limits,
and the ports of VPNs.

Only these; everything else a unit says is in the plain files of systemd/.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from acekeeper.core.names import HERE, bracketed
from acekeeper.errors import AcekeeperError
from acekeeper.peers import spelled
from acekeeper.settings import Settings

_HEAD = "# Written by `acekeeper settings --drop-ins`, which will do it again.\n"
_ALWAYS = ("127.0.0.1", "::1")
_ANY = {"127.0.0.1": "0.0.0.0", "::1": "::"}
_CPU_WEIGHT = 100  # systemd's own
# In its container, as quadlets/vpn@.container has them.
CONTROL, HEALTH = 8000, 9999
_AFTER_SERVICE_S = 10  # which gives up by itself, and can say why


def drop_ins(settings: Settings) -> Mapping[str, str]:
    """Their texts, by path below the directory of the units."""
    timeout = _seconds(settings.api_long_operation_timeout_s + _AFTER_SERVICE_S)
    files = {
        "acekeeper.socket.d/listen.conf": _listen(_of_api(settings), settings.app_port),
        "acekeeper-gateway.socket.d/listen.conf": _gateway(settings),
        "acekeeper-sweep@.service.d/timeout.conf": f"[Service]\nTimeoutStartSec={timeout}\n",
        "engine@.service.d/acekeeper-limits.conf": _limits(settings),
    }
    for kind, interval in {
        "health": settings.health_check_interval_s,
        "streams": settings.monitor_interval_s,
        "scale": settings.autoscale_interval_s,
    }.items():
        files[f"acekeeper-sweep@{kind}.timer.d/interval.conf"] = _interval(interval)
    for n, vpn in enumerate(settings.vpns):
        files[f"vpn@{vpn}.service.d/acekeeper-ports.conf"] = _ports_of_vpn(settings, n)
    return {name: _HEAD + text for name, text in files.items()}


def outdated(directory: Path, settings: Settings) -> list[Path]:
    """The drop-ins that are missing or say something else."""
    files = {directory / name: text for name, text in drop_ins(settings).items()}
    return [path for path, text in files.items() if _read(path) != text]


def write(directory: Path, settings: Settings) -> list[Path]:
    """Those that were missing or said something else; the others are not touched."""
    changed = outdated(directory, settings)
    texts = drop_ins(settings)
    for path in changed:
        _replace(path, texts[str(path.relative_to(directory))])
    return changed


def _of_api(settings: Settings) -> list[str]:
    wanted = [*_ALWAYS, *([] if settings.app_host == "localhost" else [settings.app_host])]
    # Who listens on every address has this one already.
    return list(dict.fromkeys(a for a in wanted if _ANY.get(a) != settings.app_host))


def _gateway(settings: Settings) -> str:
    if not settings.gateway_port:  # a condition that never holds
        return "[Unit]\nConditionPathExists=!/\n"
    return _listen(settings.gateway_host, settings.gateway_port)


def _listen(addresses: Sequence[str], port: int) -> str:
    lines = [_stream(address, port) for address in addresses]
    return "\n".join(["[Socket]", "ListenStream=", *lines, ""])


def _stream(address: str, port: int) -> str:
    host = bracketed(address).replace("%", "%%")  # of a zone, no specifier
    return f"ListenStream={host}:{port}"


def _limits(settings: Settings) -> str:
    """Without a line where nobody asked for a limit: systemd would turn on a controller for it."""
    lines = ["[Service]"]
    if settings.engine_memory_max is not None:
        lines.append(f"MemoryMax={settings.engine_memory_max}M")
    if settings.engine_cpu_weight != _CPU_WEIGHT:
        lines.append(f"CPUWeight={settings.engine_cpu_weight}")
    return "\n".join([*lines, ""])


def _ports_of_vpn(settings: Settings, n: int) -> str:
    """All that engines of its slots publish elsewhere, but for peers: answers to those would leave
    by this host's own address."""
    ours = slice(n * settings.vpn_slots, (n + 1) * settings.vpn_slots)
    http = settings.port_range_host[ours]
    slots = range(len(settings.port_range_host))[ours]
    published = [(address, http, http) for address in settings.engine_host]
    for base in (settings.engine_https_base, settings.engine_api_base):
        ports = range(base + slots.start, base + slots.stop)
        published.append((HERE, ports, ports))
    for base, inside in ((settings.vpn_control_base, CONTROL), (settings.vpn_health_base, HEALTH)):
        published.append((HERE, range(base + n, base + n + 1), range(inside, inside + 1)))
    options = (f"--publish={a}:{spelled(p)}:{spelled(i)}/tcp" for a, p, i in published)
    return f'[Service]\nEnvironment="PUBLISH={" ".join(options)}"\n'


def _interval(seconds: float) -> str:
    # The empty one takes back every time of the plain file, not only its own.
    return f"[Timer]\nOnUnitActiveSec=\nOnActiveSec=1s\nOnUnitActiveSec={_seconds(seconds)}\n"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise AcekeeperError(f"{path} cannot be read: {error}") from error


def _replace(path: Path, text: str) -> None:
    """Whoever reads it meanwhile reads the old one or the new one whole."""
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise AcekeeperError(f"{path} cannot be written: {error.strerror}") from error
