"""Packets of a transport stream and their clocks, read by code of its own."""

from collections.abc import Iterator
from typing import NamedTuple


class Packet(NamedTuple):
    pid: int
    starts: bool
    counter: int
    adaptation: bytes
    payload: bytes


def packets(stream: bytes) -> Iterator[Packet]:
    assert len(stream) % 188 == 0
    for at in range(0, len(stream), 188):
        data = stream[at : at + 188]
        assert data[0] == 0x47
        bits = int.from_bytes(data[:4], "big")
        length = 1 + data[4] if bits & 0x20 else 0
        yield Packet(
            pid=bits >> 8 & 0x1FFF,
            starts=bool(bits & 0x400000),
            counter=bits & 0xF,
            adaptation=data[5 : 4 + length],
            payload=data[4 + length :] if bits & 0x10 else b"",
        )


def pcr(packet: Packet) -> int:
    assert packet.adaptation[0] & 0x10
    return int.from_bytes(packet.adaptation[1:7], "big") >> 15


def pts(packet: Packet) -> int:
    assert packet.payload[:4] == b"\x00\x00\x01\xe0"
    assert packet.payload[7] & 0xC0 == 0x80
    bits = int.from_bytes(packet.payload[9:14], "big")
    assert bits >> 36 == 0b0010
    assert bits & bits >> 16 & bits >> 32 & 1
    return (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF
