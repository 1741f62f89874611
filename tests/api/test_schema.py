"""The API's own description says what is so."""

import re
from base64 import b64encode
from fnmatch import fnmatch
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import httpx
import msgspec
import pytest
from litestar.handlers import HTTPRouteHandler

from acekeeper.api.application import ROUTES
from acekeeper.api.deadline import ENDLESS
from acekeeper.api.described import Says, says
from acekeeper.api.document import document
from acekeeper.api.page import page

from .bodies import started
from .conftest import Serve, Served
from .fleets import in_fleet

STREAM = f"{'a' * 40}|{'b' * 32}"
NEEDED = {"/by-label": {"key": "a", "value": "b"}}
REF = re.compile(r'"#/components/(\w+)/([^"]+)"')


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, set[str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, {name for name, _ in attrs}))


def said(method: str, path: str) -> Says:
    (route,) = (r for r in ROUTES if method in r.http_methods and path in map(_plain, r.paths))
    return says(route.opt)


def _plain(path: str) -> str:
    return re.sub(r":\w+}", "}", path)


def assert_is_as_said(answer: httpx.Response, path: str) -> None:
    """Of the declared type and nothing beyond it."""
    promised = said(answer.request.method, path)
    assert answer.status_code == promised.status, answer.text
    assert fnmatch(answer.headers["Content-Type"].partition(";")[0], promised.media)
    if promised.media != "application/json":
        return
    decoded = msgspec.json.decode(answer.content, type=promised.answer)
    assert msgspec.json.decode(msgspec.json.encode(decoded)) == answer.json()


async def test_good_answers_are_what_is_said(serve: Serve) -> None:
    served: Served = await serve(MIN_REPLICAS="1")
    await served.until(lambda s: any(e.listed for e in s.context.state.engines.values()))
    port = served.settings.port_range_host[0]
    posts: list[tuple[str, object]] = [
        ("/events/stream_started", started(port=port)),
        ("/events/batch", {"started": [started(), 7], "ended": [{"stream_id": "absent"}]}),
        ("/events/stream_ended", {"stream_id": "absent"}),
        ("/provision/acestream", {}),
        ("/provision", {}),
    ]
    for path, body in posts:
        assert_is_as_said(await served.post(path, body), path)
    assert_is_as_said(await served.post("/sweeps/scale"), "/sweeps/{kind}")
    served = await in_fleet(served)
    [engine, *_] = (await served.get("/engines?include=all")).json()
    names = {"container_id": engine["container_id"], "stream_id": STREAM, "name": "panel.js"}
    names["host"] = "media-2"
    for route in ROUTES:
        for path in route.paths:
            if "GET" in route.http_methods and ENDLESS not in route.opt:
                plain = _plain(path)
                answer = await served.get(plain.format(**names), params=NEEDED.get(plain))
                assert_is_as_said(answer, plain)


async def test_a_refused_provision_is_what_is_said(serve: Serve) -> None:
    served: Served = await serve(MAX_REPLICAS="1")
    await served.post("/provision")
    answer = await served.post("/provision/acestream")
    kind = said("POST", "/provision/acestream").also[answer.status_code]
    decoded = msgspec.json.decode(answer.content, type=kind)
    assert msgspec.json.decode(msgspec.json.encode(decoded)) == answer.json()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: str(route.handler_name))
def test_every_route_says_what_it_is_for_and_what_it_answers(route: HTTPRouteHandler) -> None:
    assert route.fn.__doc__, "its docstring is its description"
    assert route.opt["access"] in ("open", "read", "key")
    made = document(ROUTES)
    for path in map(_plain, route.paths):
        for method in route.http_methods:
            operation = made["paths"][path][method.lower()]
            promised = says(route.opt)
            assert str(promised.status) in operation["responses"]
            assert ("requestBody" in operation) is (promised.body is not None)
            assert ("security" in operation) is (route.opt["access"] != "open")
            errors = {"403", "503"} | ({"401"} if "security" in operation else set())
            errors |= {"400", "413", "415"} if promised.body is not None else set()
            errors |= {"404"} if "{" in path else set()
            assert errors <= operation["responses"].keys()


def test_the_document_refers_to_nothing_that_is_not_there() -> None:
    made = document(ROUTES)
    found = set(REF.findall(msgspec.json.encode(made).decode()))
    assert found
    for kind, name in found:
        assert name in made["components"][kind], (kind, name)


async def test_the_document_is_served_and_a_parameter_is_never_null(served: Served) -> None:
    made: dict[str, Any] = (await served.get("/openapi.json")).json()
    assert made == (await served.get("/schema/openapi.json")).json() == document(ROUTES)
    assert made["openapi"].startswith("3.1")
    assert [p["schema"] for p in made["paths"]["/streams"]["get"]["parameters"]] == [
        {"type": "string", "enum": ["started", "ended", "all"], "default": "all"},
        {"type": "string"},
        {"type": "integer", "minimum": 0, "maximum": 10_000, "default": 1000},
    ]
    body = made["components"]["schemas"]["StreamStarted"]
    assert body["required"] == ["engine", "stream", "session"]
    assert made["components"]["schemas"]["Session"]["properties"]["stat_url"]["maxLength"] == 4096


async def test_the_page_shows_every_route_and_shape_and_loads_nothing(served: Served) -> None:
    answer = await served.get("/schema")
    made = document(ROUTES)
    for path in made["paths"]:
        assert f"<code>{path}</code>" in answer.text
    links = set(re.findall(r'href="#([^"]+)"', answer.text))
    assert links == set(re.findall(r'id="([^"]+)"', answer.text)) & links
    assert made["components"]["schemas"].keys() == set(re.findall(r'id="([^"]+)"', answer.text))
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    style = re.search("<style>(.*)</style>", answer.text, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    assert "@import" not in style[1]
    assert "url(" not in style[1]
    for tag, attributes in Tags(answer.text).seen:
        assert tag not in ("script", "link", "img", "iframe", "object", "form"), tag
        assert attributes <= {"lang", "charset", "name", "content", "class", "href", "id"}


def test_what_a_document_says_is_shown_as_text() -> None:
    made = document(ROUTES)
    made["info"]["description"] = "<script>alert('x')</script> `code`"
    shown = page(made)
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert "<code>code</code>" in shown
