"""VPNs: what the kernel has for them, their units, their secrets, and whether they have tunnels."""

import http.client
import json
import os
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from acekeeper.core.names import HERE
from acekeeper.doctor import units
from acekeeper.doctor.finding import Finding, run, well, wrong
from acekeeper.settings import Settings

# A container of ours cannot have the kernel load one.
_MODULES = ("nft_compat", "xt_conntrack", "xt_mark", "xt_owner")
_LOADED = Path("/proc/modules")
_BUILT_IN = Path("/lib/modules", os.uname().release, "modules.builtin")
_SECRET = re.compile(r"--secret ([^\s,]+)")
_ANSWER_WITHIN_S = 5.0
_LARGEST = 1 << 16
_DEPLOY = "Deploy again"


def check(settings: Settings) -> Iterator[Finding]:
    if not settings.vpns:
        return
    yield from _modules()
    for n, vpn in enumerate(settings.vpns):
        unit = f"vpn@{vpn}.service"
        findings = [*units.loaded(unit), *_secrets(vpn, unit)]
        yield from findings
        if all(finding.is_well for finding in findings):
            yield _tunnel(settings, vpn, n)


def _modules() -> Iterator[Finding]:
    try:
        there = {line.split()[0] for line in _LOADED.read_text().splitlines()}
        there |= {Path(line).stem for line in _BUILT_IN.read_text().splitlines()}
    except OSError:
        return  # nobody can tell, as in a container of the whole host
    missing = [name for name in _MODULES if name not in there]
    if missing:
        names = " ".join(missing)
        yield wrong(
            f"the kernel has not loaded {', '.join(missing)}, which the firewalls of VPNs need",
            f"As root, run `modprobe --all {names}`; the playbook has it done at each boot",
        )
    else:
        yield well("the kernel has what the firewalls of VPNs need")


def _secrets(vpn: str, unit: str) -> Iterator[Finding]:
    """Those that its unit names, which Podman keeps."""
    shown = run("systemctl", "--user", "cat", unit)
    for name in sorted(set(_SECRET.findall(shown.out))):
        if run("podman", "secret", "exists", name).failed:
            yield wrong(f"the VPN {vpn} lacks its secret {name}", _DEPLOY)


def _tunnel(settings: Settings, vpn: str, n: int) -> Finding:
    port = settings.vpn_control_base + n
    journal = f"`journalctl _SYSTEMD_USER_UNIT=vpn@{vpn}.service`, as root, says why"
    key = settings.vpn_api_key.reveal() if settings.vpn_api_key else ""
    connection = http.client.HTTPConnection(HERE, port, timeout=_ANSWER_WITHIN_S)
    try:
        connection.request("GET", "/v1/publicip/ip", headers={"X-API-Key": key})
        answer = connection.getresponse()
        said = answer.read(_LARGEST)
    except (OSError, http.client.HTTPException) as error:
        why = str(error) or type(error).__name__
        return wrong(f"the VPN {vpn} does not answer on {HERE}:{port} ({why})", journal)
    finally:
        connection.close()
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return wrong(f"the VPN {vpn} does not take VPN_API_KEY", _DEPLOY)
    if answer.status != HTTPStatus.OK:
        return wrong(f"the VPN {vpn} answers {answer.status} on {HERE}:{port}", journal)
    try:
        address = json.loads(said)["public_ip"]
    except (ValueError, TypeError, KeyError):
        return wrong(f"what answers on {HERE}:{port} is not the VPN {vpn}", "Move VPN_CONTROL_BASE")
    if not address:
        return wrong(f"the VPN {vpn} has no tunnel", journal)
    return well(f"the VPN {vpn} says that it has a tunnel, and goes out as {address}")
