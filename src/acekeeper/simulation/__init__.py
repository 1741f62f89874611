"""A day of viewers on the real rules, with a clock that jumps and engines that are only said to be.

It does no I/O and knows the rules alone; `acekeeper simulate` prints what it finds.
"""

from acekeeper.simulation.day import DAYS, simulate
from acekeeper.simulation.report import text
from acekeeper.simulation.trace import Viewer, read

__all__ = ["DAYS", "Viewer", "read", "simulate", "text"]
