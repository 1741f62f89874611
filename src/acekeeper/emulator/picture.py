"""A picture in MPEG-1 video (ISO/IEC 11172-2): the smallest that every decoder shows."""

WIDTH = 128
HEIGHT = 64
FRAMES_PER_SECOND = 25

_SEQUENCE_HEADER = 0x1B3
_GROUP_START = 0x1B8
_PICTURE_START = 0x100
_FIRST_SLICE = 0x101

# One 16x16 macroblock: address increment 1, type intra; then four blocks of luminance and two of
# chrominance, each "no difference from the block before" and "end of block". As the prediction
# starts from the middle of the range, the whole picture is grey.
_GREY_MACROBLOCK = "1" + "1" + ("100" + "10") * 4 + ("00" + "10") * 2


def grey_picture() -> bytes:
    """Can be decoded without any other: it brings its sequence and group headers."""
    macroblocks = (WIDTH // 16) * (HEIGHT // 16)
    return b"".join(
        (
            _unit(
                _SEQUENCE_HEADER,
                f"{WIDTH:012b}{HEIGHT:012b}"
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
