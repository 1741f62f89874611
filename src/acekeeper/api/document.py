"""The OpenAPI document: Litestar tells paths and parameters, msgspec the shapes (so that they are
those that are really encoded and decoded), and the routes themselves the rest."""

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from acekeeper import __version__
from acekeeper.api import wire
from acekeeper.api.described import JSON, Says, says

Document = dict[str, Any]

_ABOUT = """\
acekeeper keeps AceStream engines running and hands them to clients. Access is `open`, `read` \
(open while the service listens on loopback only; elsewhere `API_KEY_READ` is enough) or `key`."""
_MEANINGS = {
    304: "Unchanged since the ETag asked with",
    400: "Something is wrong in the request; `detail` names it",
    401: "This needs the API key",
    403: "The API key is not valid or may only read, or without one `Host` or `Origin` is no name"
    " of this host",
    404: "There is no such thing",
    408: "The body did not come in time",
    409: "What was asked for is not to be had",
    413: "The body is too long",
    415: "The body does not say that it is JSON",
    503: "Not now; `Retry-After` says when to ask again",
}
_HEADERS = {
    "X-Request-ID": ("string", True, "The log's `request_id`"),
    "X-RateLimit-Provisioning-Limit": ("integer", True, "Starts of engines at once"),
    "X-RateLimit-Provisioning-Remaining": ("integer", True, "How many more may begin now"),
    "X-Circuit-State": ("string", False, "While the circuit breaker is not closed"),
    "Retry-After": ("integer", False, "Seconds; with 503 and while the breaker is not closed"),
}


def document(routes: Sequence[HTTPRouteHandler]) -> Document:
    """A tenth of a second's work."""
    app = Litestar(
        route_handlers=routes,
        logging_config=None,
        openapi_config=OpenAPIConfig(
            title="acekeeper",
            version=__version__,
            description=_ABOUT,
            render_plugins=[JsonRenderPlugin()],
            path="/never-served",  # it insists on a place for this, and ours is taken
        ),
    )
    made = app.openapi_schema.to_schema()
    shapes = _Shapes(routes)
    paths = made["paths"] = dict(sorted(made["paths"].items()))
    for path, method, route in _operations(routes):
        _complete(paths[path][method], route, shapes)
    made["components"] = {
        "schemas": made["components"].get("schemas", {}) | shapes.components,
        "responses": {
            f"Error{status}": _response(meaning, shapes.content(JSON, wire.Problem))
            for status, meaning in _MEANINGS.items()
            if status >= 400
        },
        "headers": {
            name: {"description": text, "required": always, "schema": {"type": kind}}
            for name, (kind, always, text) in _HEADERS.items()
        },
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
    }
    return made


def _operations(routes: Sequence[HTTPRouteHandler]) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in routes:
        for path in route.paths:
            for method in route.http_methods:
                yield re.sub(r":\w+}", "}", path), method.lower(), route


class _Shapes:
    """JSON schemas of all types the routes name."""

    def __init__(self, routes: Sequence[HTTPRouteHandler]) -> None:
        self._types = [wire.Problem]
        for route in routes:
            said = says(route.opt)
            for kind in (said.answer, said.body, *said.also.values()):
                if kind is not None and kind not in self._types:
                    self._types.append(kind)
        self._schemas, self.components = msgspec.json.schema_components(
            self._types, ref_template="#/components/schemas/{name}"
        )

    def content(self, media: str, kind: Any) -> Document:
        return {media: {"schema": self._schemas[self._types.index(kind)]}}


def _complete(operation: Document, route: HTTPRouteHandler, shapes: _Shapes) -> None:
    """In place: Litestar's word is kept for the name and the parameters alone."""
    said = says(route.opt)
    parameters = [_never_null(p) for p in operation.pop("parameters", ())]
    operation["summary"], _, text = cleandoc(route.fn.__doc__ or "").partition("\n")
    operation["description"] = f"{text.strip()}\n\nAccess: {route.opt['access']}.".strip()
    if parameters:
        operation["parameters"] = parameters
    if said.body is not None:
        operation["requestBody"] = {
            "required": said.body_needed,
            "content": shapes.content(JSON, said.body),
        }
    if route.opt["access"] != "open":
        operation["security"] = [{"key": []}]
    errors = _errors(route.opt["access"], said, parameters)
    operation["responses"] = {
        str(status): _answer(status, kind, said, shapes)
        for status, kind in sorted((errors | {said.status: said.answer, **said.also}).items())
    }


def _errors(access: str, said: Says, parameters: list[Document]) -> dict[int, Any]:
    """Those that follow from who may call a route and from what it takes."""
    statuses = [403, 503]  # a foreign Host without a key; our time ran out
    if access != "open":
        statuses.append(401)
    if said.body is not None:
        statuses += [400, 408, 413, 415]
    if any(p["in"] == "path" for p in parameters):
        statuses.append(404)
    if parameters:
        statuses.append(400)
    return dict.fromkeys(statuses, wire.Problem)


def _answer(status: int, kind: Any, said: Says, shapes: _Shapes) -> Document:
    if kind is wire.Problem:
        return {"$ref": f"#/components/responses/Error{status}"}
    good = status == said.status
    content = {} if kind is None else shapes.content(said.media if good else JSON, kind)
    response = _response(HTTPStatus(status).phrase if good else _MEANINGS[status], content)
    if good or status == 304:
        for name, text in said.headers.items():
            header = {"description": text, "required": False, "schema": {"type": "string"}}
            response["headers"][name] = header
    return response


def _response(meaning: str, content: Document) -> Document:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
    return {"description": meaning, "headers": headers, "content": content}


def _never_null(parameter: Document) -> Document:
    """A parameter that may be left out has no null to be given instead."""
    schema = parameter["schema"]
    if "oneOf" in schema:
        (schema,) = (one for one in schema["oneOf"] if one["type"] != "null")
    if isinstance(schema.get("type"), list):
        (kind,) = (one for one in schema["type"] if one != "null")
        schema = {**schema, "type": kind}
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    kept = {name: parameter[name] for name in ("name", "in", "required")}
    about = {"description": parameter["description"]} if "description" in parameter else {}
    return {**kept, **about, "schema": schema}
