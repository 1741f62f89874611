"""The numbers the rules work with; seconds unless the name says otherwise."""

from msgspec import Struct

from acekeeper.core.names import HERE, PortPlan


class Rules(Struct, frozen=True, kw_only=True):
    host: str
    local_names: frozenset[str]
    ports: PortPlan
    addresses: tuple[str, ...] = (HERE,)  # where players are to reach engines, if it is there
    gateway_addresses: tuple[str, ...] = ()  # and where the gateway
    min_replicas: int = 1
    max_replicas: int = 20
    max_streams_per_engine: int = 1
    auto_delete: bool = True
    engine_grace_period: float = 30
    max_concurrent_provisions: int = 5
    min_provision_interval: float = 0.5
    provision_timeout: float = 120
    startup_grace: float = 30
    breaker_threshold: int = 5
    breaker_timeout: float = 300
    health_failure_threshold: int = 3
    unhealthy_grace_period: float = 60
    replacement_cooldown: float = 60
    unmanaged_stream_ttl: float = 3600
    stats_history_max: int = 720  # samples of a stream in one answer
    vpns: tuple[str, ...] = ()
    vpn_slots: int = 20  # of each, in their order
    vpn_port_settle: float = 120
    gateway_wait: float = 9  # of a player that asked for JSON
    gateway_hedge: float = 3
    gateway_idle: float = 20

    fleet_host: str = ""  # what other hosts call this one; empty: there are none
    fleet_address: str = HERE  # where they, and players, reach it

    # Facts of the client and of the engine rather than choices (the wire contract tells why).
    answer_within: float = 2.5
    sleeps_then: float = 5  # a client does, before it plays from an engine it was given
    rest_after_hand_out: float = 60
    drain_wait: float = 30
    drain_look_again: float = 10
    early_death: float = 10
    ask_starting_every: float = 0.25
    ask_suspect_every: float = 1
    port_rest: float = 60
    remember_ended: float = 3600
    keep_ended: int = 10_000
    stop_retry: float = 5
    look_again: float = 5  # for what starts need and is not there
    start_retry: float = 5  # the longest pause after starts that failed for nothing of theirs
    rush_lasts: float = 300
    choice_lasts: float = 5  # a client caches the list for 2 s, and asks one engine after another
    try_again_every: float = 5
    blame_lasts: float = 600
    # Above the 20 s of a client's patience and the 30 s a buffer may take to fill, together, and
    # many looks: a moment between two connections is no end.
    unread_after: float = 90
    starving_after: float = 180

    # Of the fleet, by a prototype of three servers and a thousand hosts.
    lease: float = 5  # a host that says nothing for so long is lost, or stale
    stale_lasts: float = 30  # then a stale host is lost
    sync_again: float = 2  # a host that sent no snapshot is asked for it again
    lost_kept: float = 86_400  # then a lost host is forgotten
    host_tries: int = 2  # hosts that are asked for one play within host_again
    host_again: float = 5  # then a host that was asked may be asked again for the same play
    host_answers: float = 1.2  # a host that takes longer: another one is asked beside it

    # Of the gateway's players, by trials with the real ones.
    gateway_wait_redirected: float = 25  # or gateway_wait, if that is longer
    engines_asked: int = 3  # for one play, at the most
    open_lasts: float = 120  # an open without an answer is given up
    gone_after: float = 1  # nobody read a session since its player was sent on; for that player
    gone_for_all: float = 5  # the same, for other players
    came_within: float = 15  # a player that was given a session asks for its picture
    list_read_within: float = 30  # an HLS session counts as read
    list_gone_after: float = 10  # the same, where its player asked for something else
    look_lasts: float = 0.5  # at who is connected, while a player waits for it
    # After a stop that did not end its session, the engine is drained. Above the 30 s for which a
    # proxy keeps a connection that it used.
    still_read_after: float = 35
