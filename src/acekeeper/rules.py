"""The numbers of the rules, from the settings."""

import socket

from acekeeper.core.names import HERE, PortPlan
from acekeeper.core.rules import Rules
from acekeeper.settings import Settings


def rules_of(settings: Settings) -> Rules:
    name = socket.gethostname().lower()
    ports = settings.port_range_host
    return Rules(
        host=HERE,
        addresses=settings.engine_host,
        gateway_addresses=settings.gateway_host if settings.gateway_port else (),
        local_names=frozenset(
            {*settings.engine_host, "localhost", HERE, "::1", name, name.partition(".")[0]}
        ),
        ports=PortPlan(
            ports[0],
            ports[-1],
            settings.engine_https_base,
            settings.engine_p2p_base,
            settings.engine_api_base,
        ),
        min_replicas=settings.min_replicas,
        max_replicas=settings.max_replicas,
        max_streams_per_engine=settings.max_streams_per_engine,
        auto_delete=settings.auto_delete,
        engine_grace_period=settings.engine_grace_period_s,
        max_concurrent_provisions=settings.max_concurrent_provisions,
        min_provision_interval=settings.min_provision_interval_s,
        provision_timeout=settings.provision_timeout_s,
        startup_grace=settings.provision_startup_grace_s,
        breaker_threshold=settings.circuit_breaker_threshold,
        breaker_timeout=settings.circuit_breaker_timeout_s,
        health_failure_threshold=settings.health_failure_threshold,
        unhealthy_grace_period=settings.health_unhealthy_grace_period_s,
        replacement_cooldown=settings.health_replacement_cooldown_s,
        unmanaged_stream_ttl=settings.unmanaged_stream_ttl_s,
        stats_history_max=settings.stats_history_max,
        vpns=settings.vpns,
        vpn_slots=settings.vpn_slots,
        vpn_port_settle=settings.vpn_port_settle_s,
        fleet_host=settings.fleet_host if settings.fleet_name else "",
        fleet_address=settings.fleet_address,
        gateway_wait=settings.gateway_wait_s,
        gateway_hedge=settings.gateway_hedge_s,
        gateway_idle=settings.gateway_idle_s,
    )
