"""What is emulated: an engine, or with the word `vpn` before its options a VPN."""

from . import process
from .vpn import process as vpn


def main(argv: list[str]) -> int:
    return vpn.main(argv[1:]) if argv[:1] == ["vpn"] else process.main(argv)
