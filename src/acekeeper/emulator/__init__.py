"""An AceStream engine, and a VPN for it to be behind, to try, test and break things with.

Standard library only, and nothing of the rest of acekeeper, so that the folder also runs by
itself in an image that has nothing but Python. Imports are few and light on purpose (no asyncio,
dataclasses or hashlib): a hundred of these run at once, and sixty may start at the same moment.
"""

from .command import main

__all__ = ["main"]
