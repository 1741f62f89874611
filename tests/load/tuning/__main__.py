"""`make bench-tuning`: the tables, and what only a real service can tell. It gates nothing."""

from ..measuring import say
from . import cost
from .tables import TABLES

if __name__ == "__main__":
    for table in TABLES:
        say(table.text)
    cost.measure()
