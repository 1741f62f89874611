"""A provider of VPNs, and the internet beyond it: two network namespaces of this machine."""

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ..lab import Lab, Namespace
from ..lab.command import run
from ..lab.network import remove_link
from ..waiting import until

WORLD = "203.0.113.1"  # a server that says who asks it; a network that is set aside for examples
GATE = "203.0.113.254"  # the provider's, there
WIREGUARD = 51820  # the first VPN's port
SOCKETS = Path("/var/run/wireguard")
PEER_LIMIT_S = 5.0


@dataclass
class Sold:
    """One VPN, as the provider has it."""

    name: str
    number: int
    device: str
    key: str
    client_key: str
    forwarded: int = 0
    carries: bool = True

    @property
    def public(self) -> str:
        """Who its users are to the world."""
        return f"203.0.113.{10 + self.number}"

    @property
    def subnet(self) -> str:
        return f"10.66.{self.number}"

    @property
    def port(self) -> int:
        return WIREGUARD + self.number


@dataclass
class Provider:
    address: str
    sold: dict[str, Sold]
    callers: set[str] = field(default_factory=set)  # from where engines asked the world
    _inside: Namespace = field(repr=False, kw_only=True)
    _world: Namespace = field(repr=False, kw_only=True)

    def config(self, name: str) -> str:
        """For wg-quick, as providers have it to download."""
        vpn = self.sold[name]
        return (
            f"[Interface]\nPrivateKey = {vpn.client_key}\nAddress = {vpn.subnet}.2/24\n"
            f"[Peer]\nPublicKey = {_public(vpn.key)}\nAllowedIPs = 0.0.0.0/0\n"
            f"Endpoint = {self.address}:{vpn.port}\n"
        )

    def forward(self, name: str, port: int) -> None:
        """From the world to this VPN's user, who is told so; 0: no port."""
        self.sold[name].forwarded = port
        self._set_rules()

    def carry(self, name: str, *, carries: bool) -> None:
        """Whether anything comes out of the tunnel; that the tunnel is there it says all along."""
        self.sold[name].carries = carries
        self._set_rules()

    def reached(self, name: str) -> str:
        """What somebody in the world reads at the forwarded port; empty if nobody answers."""
        vpn = self.sold[name]
        to = (vpn.public, vpn.forwarded)
        try:
            peer = self._world.make(partial(socket.create_connection, to, PEER_LIMIT_S))
            with peer:
                return peer.recv(100).decode()
        except OSError:
            return ""

    def _set_rules(self) -> None:
        ports, sources, silent = [], [], []
        for vpn in self.sold.values():
            user = f"{vpn.subnet}.2"
            sources.append(f"ip saddr {user} oifname world snat to {vpn.public}")
            if vpn.forwarded:
                port = f"ip daddr {vpn.public} meta l4proto {{ tcp, udp }} th dport {vpn.forwarded}"
                ports.append(f"{port} dnat to {user}")
            if not vpn.carries:
                silent += [f"iifname {vpn.device} drop", f"oifname {vpn.device} drop"]
        rules = (
            _chain("prerouting", "nat", "prerouting", -100, ports),
            _chain("postrouting", "nat", "postrouting", 100, sources),
            *(_chain(hook, "filter", hook, 0, silent) for hook in ("input", "forward", "output")),
        )
        table = (
            f"table ip provider\ndelete table ip provider\ntable ip provider {{\n{''.join(rules)}}}"
        )
        self._inside.run("nft", "-f", "-", stdin=table)


@contextmanager
def providing(lab: Lab, names: Sequence[str]) -> Iterator[Provider]:
    inside, world = lab.network.beyond("provider"), lab.network.beyond("world")
    first = 4 * lab.number  # of four addresses for each lab
    outer, address = (f"198.51.100.{first + n}" for n in (1, 2))
    with ExitStack() as undo:
        for namespace in (inside, world):
            undo.callback(namespace.down)
            namespace.up()
        link = f"vpn-{lab.network.name}"
        remove_link(link)  # of a network that is gone it may go later
        _cable(inside, "hosts", link, None)
        run("ip", "address", "add", f"{outer}/30", "dev", link)
        run("ip", "link", "set", link, "up")
        _cable(inside, "world", "world", world)
        _address(inside, "hosts", f"{address}/30")
        _address(inside, "world", f"{GATE}/24")
        _address(world, "world", f"{WORLD}/24")
        inside.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        sold = {name: _sell(lab, n, name, inside, undo) for n, name in enumerate(names)}
        provider = Provider(address, sold, _inside=inside, _world=world)
        provider._set_rules()
        _serve(world, (WORLD, 80), partial(_say_who, provider), undo)
        for vpn in sold.values():
            _address(inside, "world", f"{vpn.public}/32")
            _serve(inside, (f"{vpn.subnet}.1", 80), partial(_say_port, vpn), undo)
        yield provider


def _sell(lab: Lab, number: int, name: str, inside: Namespace, undo: ExitStack) -> Sold:
    vpn = Sold(name, number, f"wg{lab.number}-{number}", _private(), _private())
    device = SOCKETS / f"{vpn.device}.sock"
    device.unlink(missing_ok=True)
    go = subprocess.Popen(
        inside.within("wireguard-go", "--foreground", vpn.device),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    undo.callback(go.wait)
    undo.callback(go.terminate)
    until(device.exists)
    key = ("listen-port", str(vpn.port), "private-key", "/dev/stdin")
    user = ("peer", _public(vpn.client_key), "allowed-ips", f"{vpn.subnet}.2/32")
    run("wg", "set", vpn.device, *key, *user, stdin=vpn.key)
    _address(inside, vpn.device, f"{vpn.subnet}.1/24")
    inside.run("ip", "link", "set", vpn.device, "mtu", "1320")
    return vpn


def _cable(one: Namespace, end: str, other_end: str, other: Namespace | None) -> None:
    """Between a namespace and another, or else this machine."""
    there = ("netns", other.name) if other else ()
    ends = ("name", end, "netns", one.name, "type", "veth", "peer", "name", other_end, *there)
    run("ip", "link", "add", *ends)


def _address(namespace: Namespace, device: str, address: str) -> None:
    namespace.run("ip", "address", "add", address, "dev", device)
    namespace.run("ip", "link", "set", device, "up")


def _chain(name: str, kind: str, hook: str, priority: int, rules: list[str]) -> str:
    lines = "\n".join((f"type {kind} hook {hook} priority {priority};", *rules))
    return f"chain {name} {{\n{lines}\n}}\n"


def _private() -> str:
    return run("wg", "genkey").stdout.strip()


def _public(key: str) -> str:
    return run("wg", "pubkey", stdin=key).stdout.strip()


Answer = Callable[[str, str], object]  # to a path and the caller's address


def _say_who(provider: Provider, path: str, caller: str) -> object:
    if path == "/engine":
        provider.callers.add(caller)
    return {"ip": caller}


def _say_port(vpn: Sold, path: str, caller: str) -> object:
    return {"port": vpn.forwarded}


def _serve(inside: Namespace, at: tuple[str, int], answer: Answer, undo: ExitStack) -> None:
    class Asked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answer(self.path, self.client_address[0])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = inside.make(partial(_Server, at, Asked))
    undo.enter_context(_serving(server))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Whoever asked is gone: tunnels end at any moment."""


@contextmanager
def _serving(server: ThreadingHTTPServer) -> Iterator[None]:
    serves = threading.Thread(target=server.serve_forever)
    serves.start()
    try:
        yield
    finally:
        server.shutdown()
        serves.join()
        server.server_close()
