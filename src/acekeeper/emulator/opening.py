"""What stands before the bytes of a stream, or cuts them off, in either form it is read in."""

import socket
import time

from .faults import Faults
from .kinds import Part
from .sessions import Session, Sessions
from .waiting import pause, remaining, reset_on_close
from .wire import Answer, text


def playable(
    sessions: Sessions, faults: Faults, infohash: str, token: str, *, is_hls: bool
) -> Session | Answer:
    """What a playback_url plays, or why it does not: only the newest of a content does."""
    session = sessions.of_token(infohash, token)
    if session is None or faults.of("not_found", infohash):
        return text(500, "download not found")
    if session.token != token:
        return text(403, "got newer download")
    return session if session.is_hls is is_hls else text(500, "download not found")


def is_prebuffered(client: socket.socket, session: Session, faults: Faults) -> bool:
    """Wait for it; False when the client left or the session ended first."""
    return (
        pause(client, remaining(session.prebuffered), session.ended)
        and not session.ended.is_set
        and (
            session.has_played
            or faults.wait_until_free(client, Part.PREBUFFER, session.infohash, session.ended)
        )
    )


def is_cut(client: socket.socket, session: Session, faults: Faults, began: float) -> bool:
    cut = faults.of("cut", session.infohash)
    if cut is None or time.monotonic() - began < cut.amount:
        return False
    reset_on_close(client)
    return True
