"""What engines are made of, and how far they are on the way to what they are to be made of."""

from msgspec import Struct


class Build(Struct, frozen=True):
    """`fingerprint`: a digest of the image and of all else a start is made by, such as its unit.
    Empty where it is not known: an engine of an earlier version has none."""

    image: str = ""
    fingerprint: str = ""


class Rollout(Struct, frozen=True):
    """While there are outdated engines. `began` on the monotonic clock; `kept`: the engines that
    stayed then; `stopped`: why none is replaced, in a word."""

    began: float
    kept: int
    stopped: str = ""
