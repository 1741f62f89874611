"""6. Engine state caching: what a client has already is not sent again."""

from ..api.conftest import Serve, Served


async def test_an_unchanged_list_is_not_sent_again(serve: Serve) -> None:
    served: Served = await serve()
    first = await served.get("/engines")
    assert first.headers["Cache-Control"] == "max-age=5"
    known = {"If-None-Match": first.headers["ETag"]}
    again = await served.get("/engines", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    await served.post("/provision/acestream")
    await served.until(lambda s: any(e.listed for e in s.context.state.engines.values()))
    changed = await served.get("/engines", headers=known)
    assert (changed.status_code, len(changed.json())) == (200, 1)
    assert changed.headers["ETag"] != first.headers["ETag"]
