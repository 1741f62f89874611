"""The faults there are, each once; the table in docs/emulator.md is made from this one."""

from typing import Final

from ..kinds import Amount, Kind


def _kind(effect: str, amount: Amount | None = None) -> Kind:
    return Kind(effect, per_content=False, amount=amount)


KINDS: Final = {
    "lost": _kind(
        "it has no tunnel: `public_ip` is empty, no port is forwarded, the health server says 500"
    ),
    "dead": _kind("it says that it has a tunnel; what is sent is counted, and nothing comes back"),
    "unhealthy": _kind("the health server says 500, and the control server nothing of it"),
    "no_public_ip": _kind("`public_ip` is empty, and the health server says 200"),
    "port": _kind("another port is forwarded, or none", Amount("port, 0 is none", 0, 0, 65535)),
    "port_flaps": _kind(
        "another port is forwarded again and again", Amount("seconds for each", 1, 0.1, 86_400)
    ),
    "several_ports": _kind("two ports are forwarded: the answer has `ports` and no `port`"),
    "older": _kind(
        "as an older version: `/v1/portforward` is 404, `/v1/openvpn/portforwarded` answers"
    ),
    "moved": _kind("the same, and `/v1/portforward` is 301 to it"),
    "unauthorized": _kind("the control server says 401, whatever the key"),
    "hang": _kind("TCP is accepted, and neither server answers"),
    "hang_control": _kind("the same for the control server alone"),
    "huge": _kind("what the control server says is followed by a megabyte of blanks"),
    "bad_json": _kind("what the control server says breaks off in its middle"),
}
