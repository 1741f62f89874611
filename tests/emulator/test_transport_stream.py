"""The stream against the rules of ISO/IEC 13818-1, by readers that share no code with it."""

from contextlib import closing

import pytest

from acekeeper.emulator.transport_stream import Programme

from .ffprobe import ffprobe, needs_ffprobe
from .packets import Packet, packets, pcr, pts
from .running import CONTENT, Emulator

NULL_PID = 0x1FFF


def crc_remainder(section: bytes) -> int:
    """By long division of the whole; 0 when the CRC at its end is right."""
    bits = len(section) * 8
    value = int.from_bytes(section, "big") ^ (0xFFFF_FFFF << (bits - 32))
    for place in range(bits - 1, 31, -1):
        if value >> place & 1:
            value ^= 0x1_04C1_1DB7 << (place - 32)
    return value


def section(packet: Packet, table: int) -> bytes:
    """What lies between the header and the CRC."""
    assert packet.starts
    data = packet.payload[1 + packet.payload[0] :]
    length = 3 + (int.from_bytes(data[1:3], "big") & 0xFFF)
    assert data[0] == table
    assert crc_remainder(data[:length]) == 0
    assert data[length:].strip(b"\xff") == b""
    return data[8 : length - 4]


def word(data: bytes) -> int:
    return int.from_bytes(data[:2], "big") & 0x1FFF


@pytest.fixture(scope="module")
def stream(shared: Emulator) -> list[Packet]:
    with closing(shared.read(shared.open())) as reader:
        return list(packets(reader.take(188 * 10_000)))


def test_tables_lead_to_the_video(stream: list[Packet]) -> None:
    for pat in (packet for packet in stream if packet.pid == 0):
        assert section(pat, 0x00)[:2] == b"\x00\x01"
        assert word(section(pat, 0x00)[2:]) == 0x1000
    for pmt in (packet for packet in stream if packet.pid == 0x1000):
        pcr_pid, description, video = (section(pmt, 0x02)[at:] for at in (0, 2, 4))
        assert word(description) & 0xFFF == 0
        assert video[0] == 0x01  # MPEG-1 video
        assert word(pcr_pid) == word(video[1:]) == 0x100
    assert {packet.pid for packet in stream} == {0, 0x1000, 0x100, NULL_PID}


@pytest.mark.parametrize("pid", [0, 0x1000, 0x100])
def test_continuity_counters_rise(stream: list[Packet], pid: int) -> None:
    counters = [packet.counter for packet in stream if packet.pid == pid]
    assert len(counters) > 32
    assert counters == [n % 16 for n in range(len(counters))]


def test_clocks_run_evenly(stream: list[Packet]) -> None:
    video = [packet for packet in stream if packet.pid == 0x100]
    assert [pcr(packet) for packet in video] == [n * 3600 for n in range(len(video))]
    assert {pts(packet) - pcr(packet) for packet in video} == {45_000}


def test_every_picture_is_whole(stream: list[Packet]) -> None:
    for packet in (packet for packet in stream if packet.pid == 0x100):
        assert int.from_bytes(packet.payload[4:6], "big") == len(packet.payload) - 6
        codes = [piece[:1] for piece in packet.payload[14:].split(b"\x00\x00\x01")[1:]]
        assert codes == [b"\xb3", b"\xb8", b"\x00", b"\x01"]  # sequence, group, picture, slice


def test_clocks_wrap_at_33_bits() -> None:
    """After 26 hours and a half."""
    last = (1 << 33) // 3600
    before, after = (
        packet for packet in packets(Programme(128).frames(last, 2)) if packet.pid == 0x100
    )
    assert pcr(before) == last * 3600
    assert pcr(after) == (last + 1) * 3600 - (1 << 33)
    assert pts(before) == last * 3600 + 45_000 - (1 << 33)


@pytest.mark.parametrize("rate", [128, 3800, 100_000])
def test_the_bitrate_is_kept_to_a_packet(rate: int) -> None:
    frame = len(Programme(rate).frames(0, 1))
    assert 0 <= frame - rate * 1000 / 8 / 25 < 188


@needs_ffprobe
def test_ffprobe_decodes_it(shared: Emulator) -> None:
    url = f"http://127.0.0.1:{shared.port}/ace/getstream?infohash={CONTENT}"
    found = ffprobe(url, frames=50)
    assert [programme["program_id"] for programme in found["programs"]] == [1]
    [video] = found["streams"]
    assert video == {
        "codec_name": "mpeg1video",
        "width": 128,
        "height": 64,
        "r_frame_rate": "25/1",
        "nb_read_frames": "50",
    }
