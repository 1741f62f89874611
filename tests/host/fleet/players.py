"""Players of the gateways of a fleet, all of them on this machine."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ..viewing import PlayingFromHere
from .deployed import Fleet, Member

JSON, REDIRECTED = FORMS = ("json", "redirected")


@dataclass(frozen=True)
class Played:
    content: str
    owner: Member  # from whose engine
    waited: float


class Players:
    def __init__(self, fleet: Fleet, at: dict[str, PlayingFromHere]) -> None:
        self.fleet = fleet
        self._at = at

    def at(self, member: Member) -> PlayingFromHere:
        return self._at[member.name]

    def comes(self, member: Member, form: str) -> str:
        """What it wants, which nobody else does."""
        content = secrets.token_hex(20)
        self.at(member).do("come", form, content)
        return content

    def plays(self, member: Member, form: str = REDIRECTED) -> Played:
        """A player that comes to this host's gateway, and stays."""
        return self.played(member, self.comes(member, form))

    def played(self, member: Member, content: str) -> Played:
        [said] = self.at(member).do("plays", content)
        owners = {owner.address: owner for owner in self.fleet.members}
        return Played(content, owners[said["host"]], said["waited"])

    def fill(self, member: Member, free: int = 0) -> list[Played]:
        """Until it has no more engines than that for others."""
        came = []
        while member.free() > free:
            came.append(self.plays(member))
            assert came[-1].owner == member
        return came

    @contextmanager
    def uncut(self, *gone: Member) -> Iterator[list[float]]:
        """On each host one plays from its own engine meanwhile, and none is cut, but for those on
        hosts that are gone. Gives the longest silence there was, at the end."""
        watching = [(member, self.plays(member)) for member in self.fleet.members]
        assert all(played.owner == member for member, played in watching)
        longest: list[float] = []
        yield longest
        for member, played in watching:
            if member not in gone:
                [said] = self.at(member).do("reads_on", played.content)
                longest.append(said["silence"])
        longest[:] = [max(longest)]


@contextmanager
def playing(fleet: Fleet) -> Iterator[Players]:
    """They are gone at the end."""
    with ExitStack() as stack:
        yield Players(
            fleet, {m.name: stack.enter_context(PlayingFromHere(m.host)) for m in fleet.members}
        )
