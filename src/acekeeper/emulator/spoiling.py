"""JSON documents as they should not be."""

from .faults import Faults
from .wire import Answer

_PAGE = "<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>"


def spoiled(answer: Answer, faults: Faults, infohash: str | None) -> Answer:
    if answer.content_type != "application/json":
        return answer
    if faults.of("html", infohash):
        return Answer(answer.status, "text/html", _PAGE)
    if faults.of("bad_json", infohash):
        return answer._replace(body=answer.body[: len(answer.body) // 2])
    if faults.of("bool_is_live", infohash):
        body = answer.body.replace('"is_live": 1', '"is_live": true')
        return answer._replace(body=body.replace('"is_encrypted": 0', '"is_encrypted": false'))
    return answer
