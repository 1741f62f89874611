"""An MPEG transport stream (ISO/IEC 13818-1) of one programme with one video stream.

Every frame of 1/25 s has the same shape: a packet of PAT, one of PMT, one with the picture, and
null packets up to the bitrate. So one frame is built once, and sending the n-th costs a few
patched bytes in its first three packets: continuity counters, PCR and PTS.
"""

FRAMES_PER_SECOND = 25
PACKET = 188
FRAME_S = 1 / FRAMES_PER_SECOND
MOST_FRAMES = 16  # sent in one go: a burst needs little memory, and a stall stops it midway

_PROGRAMME = 1
_PMT_PID = 0x1000
_VIDEO_PID = 0x100
_NULL_PID = 0x1FFF
_MPEG1_VIDEO = 0x01
_CLOCK = 90_000  # ticks a second of PTS and of the PCR's base
_CLOCK_WRAP = 1 << 33
_DECODE_DELAY = _CLOCK // 2  # from a picture's arrival to its presentation
_PCR_AT = 6  # in its packet: after the header, the field's length and its flags
_PES_HEADER = 14
_PTS_AT = 9  # in the PES packet

# The picture is in MPEG-1 video (ISO/IEC 11172-2), the smallest that every decoder shows.
_WIDTH = 128
_HEIGHT = 64

_SEQUENCE_HEADER = 0x1B3
_GROUP_START = 0x1B8
_PICTURE_START = 0x100
_FIRST_SLICE = 0x101

# One 16x16 macroblock: address increment 1, type intra; then four blocks of luminance and two of
# chrominance, each "no difference from the block before" and "end of block". As the prediction
# starts from the middle of the range, the whole picture is grey.
_GREY_MACROBLOCK = "1" + "1" + ("100" + "10") * 4 + ("00" + "10") * 2


class Programme:
    """`rate` is in kbit/s, rounded up to whole packets a frame."""

    def __init__(self, rate: int) -> None:
        packets = -(-rate * 1000 // (8 * PACKET * FRAMES_PER_SECOND))
        video = _video_packet(_grey_picture())
        self._head = _psi_packet(0, _pat()) + _psi_packet(_PMT_PID, _pmt()) + video
        padding = _header(_NULL_PID, starts=False, control=0x10) + b"\xff" * (PACKET - 4)
        self._padding = padding * (packets - 3)
        self._pts_at = 3 * PACKET - len(_grey_picture()) - _PES_HEADER + _PTS_AT
        self.frame_bytes = packets * PACKET

    def frames(self, first: int, count: int) -> bytes:
        parts: list[bytes | bytearray] = []
        for number in range(first, first + count):
            parts += (self._numbered_head(number), self._padding)
        return b"".join(parts)

    def _numbered_head(self, number: int) -> bytearray:
        head = bytearray(self._head)
        for packet in (0, PACKET, 2 * PACKET):
            head[packet + 3] |= number & 0x0F
        clock = number * (_CLOCK // FRAMES_PER_SECOND)
        pcr = 2 * PACKET + _PCR_AT
        head[pcr : pcr + 6] = _pcr(clock % _CLOCK_WRAP)
        head[self._pts_at : self._pts_at + 5] = _pts((clock + _DECODE_DELAY) % _CLOCK_WRAP)
        return head


def _header(pid: int, *, starts: bool, control: int) -> bytes:
    return bytes((0x47, starts << 6 | pid >> 8, pid & 0xFF, control))


def _psi_packet(pid: int, section: bytes) -> bytes:
    packet = _header(pid, starts=True, control=0x10) + b"\x00" + section
    return packet.ljust(PACKET, b"\xff")


def _pat() -> bytes:
    return _section(0x00, 1, _PROGRAMME.to_bytes(2, "big") + (0xE000 | _PMT_PID).to_bytes(2, "big"))


def _pmt() -> bytes:
    pcr_pid = (0xE000 | _VIDEO_PID).to_bytes(2, "big")
    no_descriptors = b"\xf0\x00"
    video = bytes((_MPEG1_VIDEO,)) + pcr_pid + no_descriptors
    return _section(0x02, _PROGRAMME, pcr_pid + no_descriptors + video)


def _section(table: int, extension: int, content: bytes) -> bytes:
    length = 5 + len(content) + 4
    section = bytes((table, 0xB0 | length >> 8, length & 0xFF))
    # Version 0, in force now, section 0 of 0.
    section += extension.to_bytes(2, "big") + b"\xc1\x00\x00" + content
    return section + _crc32(section).to_bytes(4, "big")


def _crc32(data: bytes) -> int:
    """Not zlib's: most significant bit first, and not inverted at the end."""
    crc = 0xFFFF_FFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C1_1DB7 if crc & 0x8000_0000 else 0)
        crc &= 0xFFFF_FFFF
    return crc


def _video_packet(picture: bytes) -> bytes:
    """A whole picture; PCR and PTS are filled in by `_numbered_head`."""
    pes_length = _PES_HEADER - 6 + len(picture)
    # Aligned to the picture, with a PTS and nothing else.
    pes = b"\x00\x00\x01\xe0" + pes_length.to_bytes(2, "big") + b"\x84\x80\x05" + bytes(5) + picture
    adaptation = PACKET - 5 - len(pes)
    field = bytes((adaptation, 0x50)) + bytes(6)  # random access point, with a PCR
    header = _header(_VIDEO_PID, starts=True, control=0x30)
    return header + field.ljust(adaptation + 1, b"\xff") + pes


def _pcr(base: int) -> bytes:
    return (base << 15 | 0x7E00).to_bytes(6, "big")


def _pts(ticks: int) -> bytes:
    high, middle, low = ticks >> 30, ticks >> 15 & 0x7FFF, ticks & 0x7FFF
    return (
        bytes((0x21 | high << 1,))
        + (middle << 1 | 1).to_bytes(2, "big")
        + (low << 1 | 1).to_bytes(2, "big")
    )


def _grey_picture() -> bytes:
    """Can be decoded without any other: it brings its sequence and group headers."""
    macroblocks = (_WIDTH // 16) * (_HEIGHT // 16)
    return b"".join(
        (
            _unit(
                _SEQUENCE_HEADER,
                f"{_WIDTH:012b}{_HEIGHT:012b}"
                "0001"  # square pixels
                "0011"  # 25 pictures a second
                f"{100:018b}"  # at most 40 kbit/s
                "1"  # marker
                f"{20:010b}"  # decoder's buffer, in units of 2 KiB
                "000",  # not constrained, default quantiser matrices
            ),
            _unit(
                _GROUP_START,
                f"{0:012b}1{0:012b}"  # time code: hours and minutes, marker, seconds and pictures
                "10",  # needs no earlier group, and none is missing
            ),
            _unit(
                _PICTURE_START,
                f"{0:010b}"  # first of its group
                "001"  # intra coded
                f"{0xFFFF:016b}"  # no constant-rate buffer delay
                "0",
            ),
            _unit(_FIRST_SLICE, "00001" + "0" + _GREY_MACROBLOCK * macroblocks),
        )
    )


def _unit(start_code: int, bits: str) -> bytes:
    padded = bits + "0" * (-len(bits) % 8)
    return start_code.to_bytes(4, "big") + int(padded, 2).to_bytes(len(padded) // 8, "big")
