import socket
import sys
import threading
import time
from contextlib import suppress

from acekeeper.emulator.process import main

# The world, and what is near, if the way there is open: every lab's network, and what Podman puts
# into a container's network.
WORLD = ("203.0.113.1", 80)
NEAR = (*(f"198.18.{lab}.254" for lab in range(1, 10)), "10.201.0.1", "169.254.1.1")
EVERY_S, AT_FIRST_S, FIRST_S = 0.2, 0.01, 1.0


def talk() -> None:
    """Most at the start: what a way out still lets through, it does then."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    began = time.monotonic()
    while True:
        for host in (WORLD[0], *NEAR):
            with suppress(OSError):
                udp.sendto(b"hello", (host, 6881))
        early = time.monotonic() < began + FIRST_S
        time.sleep(AT_FIRST_S if early else EVERY_S)


def connect() -> None:
    while True:
        with suppress(OSError), socket.create_connection(WORLD, 2) as tcp:
            tcp.sendall(b"GET /engine HTTP/1.0\r\n\r\n")
            while tcp.recv(4096):
                pass
        time.sleep(1)


def answer(port: int) -> None:
    with socket.create_server(("", port), reuse_port=True) as server:
        while True:
            with suppress(OSError), server.accept()[0] as peer:
                peer.sendall(f"engine {own}\n".encode())


own = dict(zip(sys.argv, sys.argv[1:], strict=False)).get("--http-port", "")
p2p = int(dict(zip(sys.argv, sys.argv[1:], strict=False)).get("--port", "0"))
for does in (talk, connect, lambda: answer(p2p)):
    threading.Thread(target=does, daemon=True).start()
sys.exit(main(sys.argv[1:]))
