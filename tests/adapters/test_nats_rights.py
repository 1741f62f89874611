"""Who may say and hear what in a fleet, and the certificates that tell who speaks."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from acekeeper.adapters import nats_wire as wire
from acekeeper.adapters.nats_bus import NatsBus
from acekeeper.core.fleet.facts import (
    BeatHeard,
    LinkDown,
    LinkUp,
    SnapshotHeard,
)
from acekeeper.core.fleet.model import Position

from ..nats import HERE, LIMIT_S, Authority, NatsServer, cluster
from .fleet_node import FULL, HOSTS, Fleet, Node, client, drained, settled, subject
from .test_nats_wire import ASK, DIGEST, ENGINES, THERE

# Who may say what.


async def test_nobody_speaks_for_another_host(fleet: Fleet, authority: Authority) -> None:
    a = await fleet.join("a")
    await a.hear(LinkUp)
    b, refused = await client(authority, "b", fleet.servers[0])
    forged = ["beat.a", "beat.c", "state.a", "snap.a.c", "ask.a.play.c", "ask.a.sync.a"]
    at = Position("forged", 1)
    for rest in forged:
        body = wire.play(ASK) if "play" in rest else wire.snapshot(at, DIGEST, ENGINES)
        await b.publish(subject(rest), body)
    for inbox in ("_INBOX.a.1", "_INBOX.c.1"):
        await b.publish(inbox, b"")
    for rest in ("snap.a.*", "ask.a.>", "ask.>"):
        await b.subscribe(subject(rest))
    await b.subscribe("_INBOX.a.>")
    await b.subscribe("_INBOX.>")
    await b.publish(subject("beat.b"), wire.beat(Position("true", 1), DIGEST))
    await a.hear(BeatHeard, host="b", at=Position("true", 1))
    await settled(b)
    assert len(refused) == len(forged) + 2 + 3 + 2
    assert a.asked.empty()
    assert not [f for f in drained(a.heard) if isinstance(f, BeatHeard | SnapshotHeard)]
    await b.close()


async def test_a_host_answers_only_what_it_was_asked_and_once(
    fleet: Fleet, authority: Authority
) -> None:
    a = await fleet.join("a")
    await a.hear(LinkUp)
    b, refused = await client(authority, "b", fleet.servers[0])
    asked = await b.subscribe(subject("ask.b.>"))
    await settled(b)
    play = asyncio.create_task(a.bus.play("b", replace(ASK, within=LIMIT_S)))
    message = await asked.next_msg(LIMIT_S)
    await message.respond(wire.answer(THERE))
    assert await play == THERE
    await message.respond(wire.answer(FULL))
    await settled(b)
    assert len(refused) == 1
    await b.close()


async def test_bad_messages_harm_nothing(
    fleet: Fleet, authority: Authority, logged: list[Any]
) -> None:
    a = await fleet.join("a")
    await a.hear(LinkUp)
    b, refused = await client(authority, "b", fleet.servers[0])
    for n in range(1000):
        await b.publish(subject("beat.b"), b"\x00" * n)
        await b.publish(subject("ask.a.play.b"), wire.play(ASK))  # no answer is wanted
        await b.publish(subject("ask.a.sync.b"), b"")
    await b.publish(subject("state.b"), b"x" * 500_000)
    await b.publish(subject("beat.b"), wire.beat(Position("true", 1), DIGEST))
    assert (await a.hear(BeatHeard)).at == Position("true", 1)
    assert a.bus.is_up
    assert 1 <= a.asked.qsize() < 1000, "it does not say all of itself as often as it is asked"
    told = [r["extra"] for r in logged if r["message"] == "fleet_message_unread"]
    assert [line["host"] for line in told] == ["b"]
    assert not refused
    await b.close()


async def test_versions_of_acekeeper_go_side_by_side(fleet: Fleet, authority: Authority) -> None:
    a = await fleet.join("a")
    await a.hear(LinkUp)
    b, _ = await client(authority, "b", fleet.servers[0])
    newer = wire.snapshot(Position("new", 1), DIGEST, ENGINES).replace(
        b'"epoch"', b'"mood":{"is":["good"]},"epoch"'
    )
    await b.publish(subject("snap.a.b"), newer)
    assert (await a.hear(SnapshotHeard, host="b")).engines == ENGINES
    await b.publish("acekeeper.v2.home.beat.b", b"")
    older = b'{"epoch":"old","seq":1,"version":"0","engines":0,"free":0,"room":0,"streams":0}'
    await b.publish(subject("beat.b"), older)
    await a.hear(BeatHeard, host="b", at=Position("old", 1))
    await b.close()


async def test_a_host_that_is_taken_off_the_list_is_out(fleet: Fleet, logged: list[Any]) -> None:
    a, b = await fleet.meet()
    server = fleet.servers[0]
    server.reload(["a"])
    await b.hear(LinkDown)
    async with asyncio.timeout(LIMIT_S):
        while not any("does not let this host in" in str(r["extra"]) for r in logged):
            await asyncio.sleep(0.01)
    assert not b.bus.is_up
    server.reload(HOSTS)
    await b.hear(LinkUp)
    assert a.bus.is_up


async def test_rights_that_are_missing_are_told(
    tmp_path: Path, authority: Authority, logged: list[Any]
) -> None:
    """As when the server has been set up for another fleet."""
    with cluster(tmp_path, 1, HOSTS, authority) as servers:
        node = Node("a", servers, authority.certify("a"))
        node.bus = NatsBus("other", "a", [servers[0].address], authority.certify("a"))
        async with node as a:
            down = await a.hear(LinkDown)
    assert "does not allow it (permissions violation for" in down.why
    assert "fleet_message_refused" in {r["message"] for r in logged}


# Certificates.


async def test_an_expired_certificate_is_told_and_a_new_one_taken(
    fleet: Fleet, authority: Authority
) -> None:
    a = Node("a", fleet.servers, authority.certify("a", days=-1))
    assert a.bus.certificate_days is not None
    assert -1.1 < a.bus.certificate_days < -0.9
    async with a:
        assert (await a.hear(LinkDown)).why == "the certificate of this host has expired"
        authority.certify("a")
        await a.hear(LinkUp)
        assert 29.9 < a.bus.certificate_days < 30.1


async def test_certificates_that_are_not_there_are_told(fleet: Fleet, authority: Authority) -> None:
    place = authority.certify("a")
    (place / "host.key").unlink()
    async with Node("a", fleet.servers, place) as a:
        down = await a.hear(LinkDown)
        assert down.why == f"{place}/host.key cannot be read: No such file or directory"
        (place / "host.key").write_bytes((authority.certify("b") / "host.key").read_bytes())
        authority.certify("a")
        await a.hear(LinkUp)


@pytest.mark.parametrize(
    ("days", "address", "why"),
    [(-1, HERE, "certificate has expired"), (30, "127.0.0.9", "IP address mismatch")],
)
async def test_a_server_has_to_show_a_certificate_that_holds(
    days: int, address: str, why: str, tmp_path: Path, authority: Authority
) -> None:
    shown = authority.certify("bad", days=days, address=address)
    server = NatsServer(tmp_path, "bad", HOSTS, certificates=shown)
    try:
        server.start()
        async with Node("a", [server], authority.certify("a")) as a:
            down = await a.hear(LinkDown)
            assert f"has a certificate that does not hold: {why}" in down.why
    finally:
        server.kill()


async def test_an_authority_of_somebody_else_counts_for_nothing(
    fleet: Fleet, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger")
    async with Node("a", fleet.servers, stranger.certify("a")) as a:
        assert "certificate that does not hold" in (await a.hear(LinkDown)).why


async def test_a_server_that_does_not_know_the_certificate_is_told(
    fleet: Fleet, tmp_path: Path, authority: Authority
) -> None:
    mixed = Authority(tmp_path / "stranger").certify("a")
    (mixed / "ca.crt").write_bytes(authority.crt.read_bytes())
    async with Node("a", fleet.servers, mixed) as a:
        why = (await a.hear(LinkDown)).why
        assert "does not take the certificate of this host" in why or "closed" in why


async def test_a_server_that_does_not_encrypt_is_left(tmp_path: Path, authority: Authority) -> None:
    with cluster(tmp_path, 1) as servers:
        async with Node("a", servers, authority.certify("a")) as a:
            assert (await a.hear(LinkDown)).why.endswith("does not encrypt")


async def test_without_certificates_nothing_is_encrypted(tmp_path: Path) -> None:
    with cluster(tmp_path, 1) as servers:
        async with Node("a", servers, None) as a, Node("b", servers, None) as b:
            await a.hear(BeatHeard, host="b")
            await b.hear(BeatHeard, host="a")
            assert a.bus.certificate_days is None
