"""Everything that can be told as happened, in the words of the log, with its meaning."""

from collections.abc import Mapping
from typing import Literal

HAPPENINGS: Mapping[str, str] = {
    "addresses_absent": "This host does not have these `addresses` of `GATEWAY_HOST` or"
    " `ENGINE_HOST`: no player comes in there, and engines start without them.",
    "addresses_complete": "This host has every address of `GATEWAY_HOST` and `ENGINE_HOST`.",
    "answer_lost": "A caller went away before its provision was answered.",
    "breaker_closed": "The circuit breaker closed since what starts need has changed, by `why`:"
    " `image_changed`, `unit_changed` (of engines) or `runtime_complete`.",
    "breaker_reset": "An operator closed the circuit breaker.",
    "claim_lapsed": "The stream an engine was promised for did not start within 60 s.",
    "content_blamed": "A content ended badly by its own fault: nobody is doubted for it. `why`: on"
    " `two_engines`; it had `no_peers` at all; `others_play` on that engine.",
    "drain_taken_back": "An engine stays after all: it was one too many and a viewer needs it, or"
    " the maintenance it drained for is over.",
    "early_end_remembered": "A stream ended that nobody had started; kept for an hour at most.",
    "engine_adopted": "An engine was found running and taken over.",
    "engine_died": "An engine ended by itself; `cause` and `detail` say how.",
    "engine_draining": "An engine takes no more viewers and is stopped when nothing on it moves.",
    "engine_fed": "A starving engine gets something again, or its streams ended.",
    "engine_granted": "A request was given this engine, after `waited` seconds.",
    "engine_ready": "A starting engine answered for the first time, after `seconds`.",
    "engine_recovered": "A suspect or unhealthy engine answers again.",
    "engine_start_failed": "An engine did not get ready; `excused` if that says nothing of it.",
    "engine_starting": "A start was asked for, by a request or to keep one ready.",
    "engine_starving": "No stream on it had a peer or any speed for minutes; it is not to blame.",
    "engine_stop_failed": "A stop did not succeed; it is asked for again.",
    "engine_stopped": "An engine ended as it was told to. `cause`: why acekeeper stopped it"
    " (`operator`: somebody asked it to), or `stopped`: somebody else did, by `systemctl`, or by"
    " `acekeeper stop` without an engine, which ends the service too.",
    "engine_stopping": "An engine is told to stop, for this `reason`.",
    "engine_suspected": "A probe failed: off the list until the engine answers again.",
    "engine_unhealthy": "An engine failed `failures` probes or tries; it will be replaced.",
    "fleet_link_down": "This host is not connected to a server of its fleet; `why` is the reason."
    " Its players get its own engines only until it is connected again.",
    "fleet_link_up": "This host is connected to its fleet.",
    "host_joined": "Another host of the fleet was heard for the first time; or again, after"
    " `seconds` of silence in which it `was` `stale` or `lost`.",
    "host_lost": "Nothing was heard of another host of the fleet for `seconds`: this host sends it"
    " no players until it is heard again.",
    "host_stale": "Nothing was heard of another host of the fleet for `seconds`, but the fault may"
    " be this host's or the servers': for 30 s this host counts on what the other one said last.",
    "log_begun": "Here begins a new database.",
    "log_restored": "Up to here the log is that of a backup that was restored.",
    "maintenance_began": "An operator wants the host empty: no viewer begins, and engines stop as"
    " their `streams` end.",
    "maintenance_ended": "The host takes viewers again, after `seconds`.",
    "network_absent": "This host has no default route of IPv4 (with `ipv6`: one of IPv6): starts"
    " of engines wait for it, for 60 s at the most. One that starts without never gets out.",
    "network_changed": "This host has another default route or other nameservers: after 60 s"
    " engines that started before are replaced, when nobody plays on them.",
    "play_failed": "A player of the gateway got nothing, after `waited` seconds; `why`: engines"
    " `refused` the content, were `silent`, or there was `no_engine`.",
    "play_opened": "A player of the gateway got this session, after `waited` seconds; `tries`"
    " engines were asked, `hedged` if another one was asked beside one that was late, `won` if the"
    " other one answered sooner; `moved` if the player had a session on another engine before.",
    "playback_doubted": "What clients do betrays it, by `why`: off the list until a try tells.",
    "playback_failed": "A try of playback found that it hangs; `failures` in a row.",
    "playback_tried": "A try of playback ended well for the engine; `verdict` says how.",
    "played_elsewhere": "Another `host` of the fleet opened the session of a player of this"
    " gateway, and the player was sent there, after `waited` seconds.",
    "provision_refused": "A request got no engine; `code` and `why` say why.",
    "rollout_began": "So many of the `engines` are `outdated`, for these `reasons`: they are"
    " replaced, a few at a time and none while it plays.",
    "rollout_ended": "No engine is outdated any more, after `seconds`.",
    "rollout_resumed": "What stopped the replacement of outdated engines is over.",
    "rollout_stopped": "No outdated engine is replaced, by `why`: `starts_fail`, or `runtime_lacks`"
    " what they need.",
    "runtime_complete": "What starts missed is there again.",
    "runtime_connected": "Whoever runs the engines can be asked.",
    "runtime_lacks": "What starts need is not there; `why` names it: the engine image, say.",
    "runtime_lost": "Whoever runs the engines cannot be reached any more.",
    "scale_requested": "An operator wants so many engines in all; 0 ends it.",
    "service_started": "The service runs, and goes on where the last run of it ended.",
    "service_stopped": "The service ended, as it was asked to; engines run on.",
    "session_not_stopped": "An engine did not stop a session of the gateway; it is asked again.",
    "settings_changed": "In force are other values than in the last run, of the settings `names`;"
    " a new version may bring other defaults.",
    "source_answers": "What was silent can be asked again.",
    "source_silent": "What `source` knows of engines cannot be asked: `podman`, or the kernel about"
    " their `connections`. They run and start without it.",
    "stream_ended": "A stream ended, after `seconds`; `reaped` if no event said so (`unread`:"
    " nothing was heard of it while nobody was connected), `failed` if on our engine and by its"
    " `reason` nothing was seen.",
    "stream_expired": "A stream elsewhere is dropped, after `UNMANAGED_STREAM_TTL_S`.",
    "stream_started": "A stream started; `managed` if it is on one of our engines.",
    "vpn_connected": "A VPN has a tunnel: engines may start behind it, and those that were cut off"
    " are listed again when they answer.",
    "vpn_ended": "The unit of a VPN ended or is restarted, and with it all engines behind it.",
    "vpn_lost": "A VPN has no tunnel any more, by `state`: `lost` as it says itself, `silent` or"
    " `dead` (nothing comes through). Its engines are off the list; what plays is left alone.",
    "vpn_port_changed": "The provider of a VPN forwards another `port` than `before`; 0: none.",
    "vpn_started": "The unit of a VPN runs.",
}

# What is not well on this host.
WARNINGS = frozenset(
    {
        "addresses_absent",
        "engine_died",
        "engine_start_failed",
        "engine_starving",
        "engine_stop_failed",
        "engine_suspected",
        "engine_unhealthy",
        "fleet_link_down",
        "host_lost",
        "host_stale",
        "network_absent",
        "playback_doubted",
        "playback_failed",
        "rollout_stopped",
        "runtime_lacks",
        "runtime_lost",
        "session_not_stopped",
        "source_silent",
        "vpn_ended",
        "vpn_lost",
    }
)
# What somebody wanted and did not get, by whosever fault.
REFUSALS = frozenset({"play_failed", "provision_refused"})
# What is well again, or at last.
RELIEFS = frozenset(
    {
        "addresses_complete",
        "breaker_closed",
        "breaker_reset",
        "engine_fed",
        "engine_ready",
        "engine_recovered",
        "fleet_link_up",
        "host_joined",
        "playback_tried",
        "rollout_resumed",
        "runtime_complete",
        "runtime_connected",
        "source_answers",
        "vpn_connected",
    }
)

Mood = Literal["bad", "good"]


def mood(kind: str) -> Mood | None:
    if kind in WARNINGS or kind in REFUSALS:
        return "bad"
    return "good" if kind in RELIEFS else None


# What they are told with, wherever it stands.
FIELDS: Mapping[str, str] = {
    "addresses": "Addresses of this host, by the settings.",
    "at_least": "So many engines in all.",
    "before": "The version of the last run, if it was another one; of a forwarded port, the one"
    " before.",
    "cause": "Why an engine ended or did not get ready, in one word:"
    " [causes](engine-died.md#causes).",
    "code": "Why a request is refused, as it is answered: `circuit_breaker`, `max_capacity`,"
    " `vpn_disconnected` or `general_error`.",
    "detail": "More than the word before says: an exit status, a signal.",
    "device": "Of the default route.",
    "early": "Whether it died while it started or within 10 s of its readiness, by its own fault:"
    " that counts for the circuit breaker as a failed start does.",
    "engine": "Which one, by its container's name.",
    "engines": "How many engines.",
    "eta": "When to ask again, in seconds, as far as anybody can tell.",
    "excused": "Whether the failure says nothing of starts (a taken port, say), so that the circuit"
    " breaker does not count it.",
    "failed": "Whether it was on an engine of ours, and by its `reason` nothing was seen.",
    "failures": "How many in a row.",
    "gateway": "Of the default route; of the service, where it listens for players.",
    "hedged": "Whether another engine was asked beside one that was late.",
    "had_tunnel": "Whether it had a tunnel at that moment.",
    "host": "Another host of the fleet, by its name.",
    "ipv6": "Whether there is a default route of IPv6.",
    "key": "The content, by its id or its address.",
    "last_end": "How the last run ended: `stopped` as it was asked to; `killed`, or by a crash;"
    " `host_went_down` with it. Not known of a first run.",
    "managed": "Whether it is on one of our engines.",
    "moved": "Whether the player had a session on another engine before.",
    "names": "Of settings; their values are not told.",
    "nameservers": "Those of the host.",
    "noticed_after": "Seconds from the moment an engine ended, by whoever ran it, to that in which"
    " the service knew. Not known where nobody told the moment.",
    "outdated": "How many engines are not as one would be that started now.",
    "player": "The address of the player.",
    "port": "The port that a VPN's provider forwards.",
    "ready": "Whether the engine was ready when it was given.",
    "reaped": "Whether no event told of the end, and the service found it out.",
    "reason": "Why something is done or over, in one word or two.",
    "reasons": "Why engines are outdated, in a word each.",
    "replaces": "The engine that was lost longest ago and had no successor yet: it died, did not"
    " get ready, is suspected or doubted. Only a start that keeps one ready makes up for one, and"
    " not that of an outdated one's successor; one lost ten minutes ago, or in an earlier run, has"
    " none.",
    "request": "The `X-Request-ID` of the request that caused it.",
    "seconds": "How long it took or lasted; of an engine's end, since its start was asked for; of a"
    " host, how long it was silent.",
    "source": "Who was asked: `systemd`, `podman`, `engine` or, of `connections`, the kernel; of a"
    " default route, the address of this host that is used with it.",
    "start": "Which start of the engine: systemd's invocation id, or the process and its begin.",
    "starting": "Whether it died, by its own fault, before it was ready for the first time.",
    "state": "How a tunnel is: `lost`, `silent` or `dead`.",
    "stream": "Which one, by its id.",
    "streams": "How many streams.",
    "tries": "How many engines were asked; of what is played elsewhere, how many hosts.",
    "verdict": "What a try found: `plays`, `bad_content`, or `starved`: nobody has it.",
    "version": "Of acekeeper.",
    "vpn": "Which one, by its name in `VPNS`.",
    "waited": "Seconds that a caller or a player waited.",
    "was": "How healthy it was before; of a host, `stale` or `lost`.",
    "was_open": "Whether the circuit breaker was open.",
    "why": "In words, by whoever failed or found out; it may change.",
    "won": "Whether the engine asked beside the late one answered sooner.",
    "words": "What the engine itself said.",
}
