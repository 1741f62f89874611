"""What the log says beside what happened to the pool, by its `event`, with its meaning."""

from collections.abc import Mapping

LOG_EVENTS: Mapping[str, str] = {
    "call_repeated": "A call to systemd, Podman or an engine got no answer and is repeated.",
    "connections_full": "No more connections may be open: for each new one an idle one is closed.",
    "disk_unread": "The free space of `STATE_DIR` cannot be read.",
    "engine_log_lost": "What an engine of `RUNTIME=process` prints cannot be written.",
    "engines_not_listed": "Nobody could say what runs; it is asked again.",
    "environment_file_stays": "The environment file of an engine that is gone cannot be removed.",
    "exception_ignored": "A defect, where Python has nobody to tell.",
    "fleet_message_refused": "A server of the fleet refused to pass on a message of this host, or"
    " messages to it; once a minute at most.",
    "fleet_message_unread": "This host cannot read a message of `host`, and ignores it; once a"
    " minute at most.",
    "fleet_not_reached": "This host lost its connection to the fleet and cannot connect again, for"
    " the reason `why`; once a minute at most for each reason.",
    "gateway_lacks": "On an address of `GATEWAY_HOST` no player is served; `why` says why.",
    "log_lines_lost": "So many lines are missing: nobody took them for a while.",
    "no_environment_files": "The environment files of engines cannot be listed.",
    "picture_failed": "A player that had a session waited `waited` seconds and got no picture,"
    " or no list of HLS.",
    "playback_try_failed": "A defect in a try of playback.",
    "player_not_admitted": "Another host asks for a player that may not play here, or not what it"
    " wants; `why` says why.",
    "request_failed": "A defect; the request was answered 500.",
    "request_refused": "A request was answered with an error, `status`.",
    "request_timed_out": "A request ran into the time limit that `ran_out` names.",
    "serving": "The service takes requests.",
    "stopping": "The service was asked to end.",
    "store_degraded": "The database takes no writes, or none in time: all is kept in memory and"
    " tried again. Or it was lost or corrupt, and what is current is written again.",
    "store_recovered": "The database takes writes again.",
    "stream_not_stopped": "An engine did not hear that a stream on it is to end.",
    "sweep_failed": "A sweep could not be done.",
    "systemd_not_heard": "A defect: no death of an engine is told any more. Restart the service.",
    "systemd_not_told": "systemd did not take a message of the service's about itself.",
    "systemd_unreachable": "The user's systemd cannot be reached; it is tried for ever.",
    "task_failed": "A defect in the work on an engine.",
    "uncaught_exception": "A defect that ended the service, or one of its threads.",
    "vpn_not_started": "An emulated VPN cannot be run; it is tried again every second.",
    "watchdog_not_fed": "The service stands still; systemd will end it and start it again.",
}

# What they are told with beside the fields of happenings.
FIELDS: Mapping[str, str] = {
    "attempt": "How often it was tried by then.",
    "connected": "How many connections are open.",
    "count": "How many.",
    "error": "The exception, of a defect: a bug, please report it.",
    "kills_after_s": "After so many seconds systemd ends the service.",
    "kind": "Which sweep.",
    "message": "What was to be told.",
    "method": "Of the request.",
    "object": "What Python was about to remove.",
    "path": "Of the request, or of a file.",
    "pause": "Seconds until it is tried again.",
    "ran_out": "The time limit, by its setting.",
    "route": "Of the request, without what varies.",
    "runtime": "Who runs the engines, by `RUNTIME`.",
    "status": "Of the answer.",
    "thread": "In which it happened.",
    "traceback": "Where the exception came from.",
}
