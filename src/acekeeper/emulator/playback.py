"""Starting playback, asking about it and stopping it."""

import os
import time

from .burdens import CACHE_LIMIT
from .content import wanted_infohash
from .counters import Count, Counters
from .faults import Faults
from .kinds import Part
from .sessions import PREBUFFER_BYTES, PREBUFFER_S, Session, Sessions
from .wire import Answer, Request, as_json, redirect, text

_WINDOW_S = 1800  # how far back the broadcast can be watched
_CONTAINER_HOST = "172.17.0.2:6878"
_BUFFER_S = 10  # how far behind its end the player is


class Playback:
    def __init__(self, sessions: Sessions, faults: Faults, counters: Counters, rate: int) -> None:
        self._sessions = sessions
        self._faults = faults
        self._counters = counters
        self._rate = rate  # kbit/s

    def start(self, request: Request, *, is_hls: bool) -> Answer:
        """/ace/getstream and /ace/manifest.m3u8"""
        as_document = request.query.get("format") == "json"
        infohash = wanted_infohash(request.query)
        if infohash is None or self._faults.of("load_fails", infohash):
            self._counters.add(Count.LOADS_FAILED, infohash)
            if as_document:
                return _failed("failed to load content")
            return text(500, "Internal Server Error, couldn't find resource")
        session = self._sessions.open(infohash, is_hls=is_hls)
        if self._faults.count("crash_on_getstream", infohash):
            os._exit(1)

        def url(call: str, host: str = request.host) -> str:
            return f"http://{host}/ace/{call}/{infohash}/{session.token}"

        wrong_host = self._faults.of("wrong_host", infohash)
        playback_host = _CONTAINER_HOST if wrong_host else request.host
        playback_url = url("m", playback_host) + ".m3u8" if is_hls else url("r", playback_host)
        if not as_document:
            return redirect(playback_url)
        return _answered(
            {
                "playback_url": playback_url,
                "stat_url": url("stat"),
                "command_url": url("cmd"),
                "infohash": infohash,
                "playback_session_id": session.playback_session_id,
                "is_live": 1,
                "is_encrypted": 0,
                "client_session_id": -1,
            }
        )

    def stat(self, infohash: str, token: str) -> Answer:
        session = self._sessions.of_token(infohash, token)
        if session is None or self._faults.of("stat_unknown", infohash):
            self._counters.add(Count.UNKNOWN_STATS, infohash)
            return _failed("unknown playback session id")
        stalled = self._faults.holding(Part.STREAM, infohash) is not None
        self._sessions.fetch(session, stalled=stalled)
        state = _state(session, 0 if stalled else self._rate // 8, self._rate)
        if self._faults.of("no_peers", infohash):
            state["peers"] = 0
            state["status"] = "dl" if session.has_played else "prebuf"
        if frozen := self._faults.of("live_frozen", infohash):
            state["livepos"] = _livepos(session, int(frozen.began_at - frozen.amount))
        return _answered(state)

    def command(self, request: Request, infohash: str, token: str) -> Answer:
        session = self._sessions.of_token(infohash, token)
        is_stop = request.query.get("method") == "stop"
        if session is None or (is_stop and self._faults.of("stop_unknown", infohash)):
            self._counters.add(Count.UNKNOWN_STOPS, infohash)
            return _failed("unknown playback session id")
        if not is_stop:
            return _failed("unknown method")
        if self._faults.of("crash_on_stop", infohash):
            os._exit(1)
        self._sessions.stop(session)
        return as_json({"response": "ok", "error": None})


def _state(session: Session, speed: int, rate: int) -> dict[str, object]:
    """`speed` is in KB/s, `rate` in kbit/s."""
    seconds = session.live_seconds
    swing = 100 + int(seconds * 4) % 9  # percent: neither peers nor speeds stand still
    prebuffered = min(1.0, seconds / PREBUFFER_S) * PREBUFFER_BYTES
    downloaded = int(prebuffered + seconds * rate * 125)
    return {
        "status": "dl" if time.monotonic() >= session.prebuffered else "prebuf",
        "peers": swing // 10 + int(seconds) % 5,
        "speed_down": speed * swing // 100,
        "speed_up": speed * swing // 900,
        "downloaded": downloaded,
        "uploaded": downloaded // 7,
        "total_progress": 0,
        "infohash": session.infohash,
        "playback_session_id": session.playback_session_id,
        "is_live": 1,
        "is_encrypted": 0,
        "client_session_id": -1,
        "selected_file_index": -1,
        "selected_stream_index": 0,
        "stream_status": -1,
        "manifest_access_mode": -1,
        "debug_level": 0,
        "network_monitor_status": 0,
        "network_monitor_started": False,
        "disk_cache_stats": {
            "avail": 3199156224,
            "disk_cache_limit": CACHE_LIMIT,
            "inactive_inuse": 0,
            "active_inuse": downloaded,
        },
        "livepos": _livepos(session, int(session.opened_at + seconds)),
    }


def _livepos(session: Session, last: int) -> dict[str, str]:
    first = min(last, int(session.opened_at)) - _WINDOW_S
    return {
        "pos": str(last - _BUFFER_S),
        "last": str(last),
        "first_ts": str(first),
        "last_ts": str(last),
        "live_first": str(first),
        "live_last": str(last),
        "is_live": "1",
        "buffer_pieces": "30",
    }


def _answered(response: dict[str, object]) -> Answer:
    return as_json({"response": response, "error": None})


def _failed(error: str) -> Answer:
    return as_json({"response": None, "error": error})
