"""The API's document as a page for people: plain HTML, with nothing in it that could load or run
anything, and so the same without a network and under the strictest policy."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from http import HTTPStatus
from typing import Any

Document = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1c2024; --dim: #5b6570; --line: #d9dee3;
  --code: #f2f4f6; --get: #0b5fb0; --post: #1a7540; --delete: #b3261e }
@media (prefers-color-scheme: dark) { :root { --back: #15181b; --text: #e4e7ea; --dim: #9aa4ae;
  --line: #333a41; --code: #20252a; --get: #7db8f5; --post: #74cf98; --delete: #f59a92 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; background: var(--back);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word }
h1 { margin: 0; font-size: 1.6rem } h2 { margin: 2.5rem 0 .5rem; font-size: 1.25rem }
p { margin: .4rem 0 } a { color: var(--get) } .dim { color: var(--dim); font-size: .9rem }
code, pre { background: var(--code); border-radius: 4px; font: .88em/1.5 ui-monospace, monospace }
code { padding: .1em .3em } pre { padding: .6rem .8rem; overflow-x: auto }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0 }
summary { padding: .5rem .8rem; cursor: pointer } details > div { padding: 0 .8rem .6rem }
summary b { display: inline-block; min-width: 4.5rem; font-family: ui-monospace, monospace }
.get { color: var(--get) } .post { color: var(--post) } .delete { color: var(--delete) }
table { border-collapse: collapse; width: 100%; font-size: .92rem; margin: .3rem 0 .8rem }
th, td { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0;
  border-bottom: 1px solid var(--line) }
th { color: var(--dim); font-weight: 600 }
""".strip()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
    "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(document: Document) -> str:
    info = document["info"]
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body><main>",
            f"<h1>{escape(info['title'])} API</h1>",
            f"<p class=dim>{escape(info['version'])} · "
            '<a href="/schema/openapi.json">OpenAPI document</a></p>',
            f"<p>{_text(info['description'])}</p>",
            "<h2>Calls</h2>",
            *(
                _operation(path, method, operation, document)
                for path, item in document["paths"].items()
                for method, operation in item.items()
            ),
            "<h2>Headers of every answer</h2>",
            _table("Header", "Meaning", _headers(document["components"]["headers"])),
            "<h2>Shapes</h2>",
            *(_shape(*named) for named in sorted(document["components"]["schemas"].items())),
            "</main></body></html>",
        ]
    )


def _operation(path: str, method: str, operation: Document, document: Document) -> str:
    parts = [f"<p>{_text(t)}</p>" for t in operation["description"].split("\n\n")]
    parts.append(f"<pre>{escape(_curl(path, method, operation))}</pre>")
    if parameters := operation.get("parameters"):
        rows = (
            (
                f"<code>{escape(p['name'])}</code> <span class=dim>{p['in']}</span>",
                _type(p["schema"]) + ("" if p["required"] else " <span class=dim>optional</span>"),
            )
            for p in parameters
        )
        parts.append(_table("Parameter", "Type", rows))
    if body := operation.get("requestBody"):
        needed = "" if body["required"] else " <span class=dim>may be left out</span>"
        parts.append(f"<p>Body: {_content(body['content'])}{needed}</p>")
    parts.append(_table("Answer", "", _answers(operation["responses"], document)))
    name = f"<b class={method}>{method.upper()}</b> <code>{escape(path)}</code>"
    about = f"<span class=dim>{_text(operation['summary'])}</span>"
    return f"<details><summary>{name} {about}</summary><div>{''.join(parts)}</div></details>"


def _curl(path: str, method: str, operation: Document) -> str:
    words = ["curl", "-sN" if "text/event-stream" in str(operation["responses"]) else "-s"]
    if method != "get":
        words += ["-X", method.upper()]
    if "security" in operation:
        words += ["-H", '"Authorization: Bearer $API_KEY"']
    if "requestBody" in operation:
        words += ["--json", "@body.json"]
    needed = [p for p in operation.get("parameters", ()) if p["in"] == "query" and p["required"]]
    query = "?" + "&".join(f"{p['name']}=…" for p in needed) if needed else ""
    return " ".join([*words, f"'http://127.0.0.1:8000{path}{query}'"])


def _answers(responses: Document, document: Document) -> Iterator[tuple[str, str]]:
    shared = document["components"]["responses"]
    for status, given in responses.items():
        ref = given.get("$ref")
        response = shared[ref.rpartition("/")[2]] if ref else given
        meaning = response["description"]
        shown = "" if meaning == HTTPStatus(int(status)).phrase else f"{_text(meaning)} "
        yield f"<code>{status}</code>", shown + _content(response["content"])


def _headers(headers: Document) -> Iterator[tuple[str, str]]:
    for name, header in headers.items():
        yield f"<code>{escape(name)}</code>", _text(header["description"])


def _content(content: Document) -> str:
    return ", ".join(
        _type(value["schema"])
        + ("" if media == "application/json" else f" <code>{escape(media)}</code>")
        for media, value in content.items()
    )


def _shape(name: str, schema: Document) -> str:
    needed = schema.get("required", ())
    rows = (
        (
            f"<code>{escape(field)}</code>"
            + ("" if field in needed else " <span class=dim>optional</span>"),
            _type(kind),
        )
        for field, kind in schema.get("properties", {}).items()
    )
    inside = _table("Field", "Type", rows) if "properties" in schema else f"<p>{_type(schema)}</p>"
    about = f"<p>{_text(schema['description'])}</p>" if "description" in schema else ""
    return f'<section id="{escape(name)}"><h3>{escape(name)}</h3>{about}{inside}</section>'


def _type(schema: Document) -> str:
    """In a few words, with links to the shapes in it."""
    if ref := schema.get("$ref"):
        name = escape(ref.rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(map(_type, choices))
    if values := schema.get("enum"):
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in values)
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object" and isinstance(more := schema.get("additionalProperties"), dict):
        return f"object of {_type(more)}"
    limits = [
        f"{sign} {schema[name]:g}"
        for name, sign in {"minimum": "≥", "maximum": "≤", "maxLength": "length ≤"}.items()
        if name in schema
    ]
    if (default := schema.get("default")) is not None:
        limits.append(f"({default})")
    shown = "time" if schema.get("format") == "date-time" else kind
    return escape(" ".join([str(shown), *limits]))


def _table(left: str, right: str, rows: Iterator[tuple[str, str]]) -> str:
    body = "".join(f"<tr><td>{one}</td><td>{other}</td></tr>" for one, other in rows)
    return f"<table><tr><th>{left}</th><th>{right}</th></tr>{body}</table>"


def _text(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))
