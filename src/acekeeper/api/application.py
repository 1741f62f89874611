"""The routes put together."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from litestar import Litestar, Request
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from acekeeper.api import (
    containers,
    engines,
    events,
    fleet,
    health,
    log,
    operator,
    panel,
    provision,
    queries,
    schema,
    status,
    streams,
)
from acekeeper.api.access import Access
from acekeeper.api.board import Board
from acekeeper.api.context import Context
from acekeeper.api.deadline import all_within, deadline
from acekeeper.api.error_answers import answer

ROUTES: Sequence[HTTPRouteHandler] = (
    engines.list_engines,
    engines.health_scores,
    engines.get_engine,
    containers.get_container,
    containers.get_logs,
    containers.by_label,
    engines.drain_engine,
    containers.stop_container,
    streams.list_streams,
    streams.stream_stats,
    streams.end_stream,
    events.stream_started,
    events.stream_ended,
    events.batch,
    provision.provision_acestream,
    provision.provision_container,
    operator.sweep,
    operator.sweep_all,
    operator.scale,
    operator.reset_breaker,
    operator.begin_maintenance,
    operator.end_maintenance,
    status.ready,
    status.orchestrator_status,
    log.list_log,
    log.follow_log,
    health.health_status,
    health.vpn_status,
    fleet.list_hosts,
    fleet.get_host,
    status.metrics,
    schema.schema_page,
    schema.openapi_json,
    panel.page,
    panel.file,
    panel.follow,
)


def application(
    context: Context, access: Access, request_timeout: float, long_timeout: float
) -> Litestar:
    async def admit(request: Request[Any, Any, Any]) -> None:
        """A route says `opt={"access": …}`; one that does not needs the key."""
        opt = request.route_handler.opt
        if refusal := access.refusal(opt.get("access", "key"), request.scope["headers"]):
            raise refusal
        queries.check(request)

    return Litestar(
        route_handlers=ROUTES,
        state=State(
            {
                "context": context,
                "documentation": schema.Documentation(ROUTES),
                "board": Board(context),
            }
        ),
        before_request=admit,
        middleware=[
            partial(
                deadline,
                ordinary=all_within(request_timeout),
                long=all_within(long_timeout),
                failed=context.metrics.communication_failed,
            )
        ],
        exception_handlers={Exception: answer},
        request_max_body_size=context.limits.max_body_bytes,
        logging_config=None,
        openapi_config=None,
    )
