"""What a VPN says of itself, against the emulated one, and a far side that says what it is told."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest

from acekeeper.adapters import gluetun
from acekeeper.adapters.gluetun import Gluetun
from acekeeper.core.facts import VpnAnswered
from acekeeper.errors import Failure, NoAnswer

from ..emulator.vpn import KEY, Vpn
from ..ports import free_port
from .test_engine import FarSide, as_json, http

HERE = "203.0.113.1"
ANSWERED = VpnAnswered(
    "de", "start-1", is_healthy=True, public_ip=HERE, country="Norway", port=43210
)
Ask = Callable[..., Gluetun]


@pytest.fixture(scope="module")
def shared() -> Iterator[Vpn]:
    """For tests that leave it as they found it."""
    with ExitStack() as stack:
        vpn = Vpn("--forwarded-port", "43210", "--country", "Norway", key=KEY)
        stack.callback(vpn.end)
        yield vpn.ready()


@pytest.fixture
def vpn(shared: Vpn) -> Iterator[Vpn]:
    yield shared
    shared.clear()


@pytest.fixture
async def client() -> AsyncIterator[Ask]:
    made: list[Gluetun] = []

    def make(control: int, health: int, key: str = KEY) -> Gluetun:
        made.append(Gluetun(("de",), control, health, key))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def api(client: Ask, vpn: Vpn) -> Gluetun:
    return client(vpn.control, vpn.health)


async def silence(api: Gluetun) -> NoAnswer:
    with pytest.raises(NoAnswer) as silent:
        await api.ask("de", "start-1")
    return silent.value


async def test_one_with_a_tunnel(api: Gluetun) -> None:
    assert await api.ask("de", "start-1") == ANSWERED


async def test_each_has_its_own_ports(vpn: Vpn) -> None:
    api = Gluetun(("ch", "de"), vpn.control - 1, vpn.health - 1, KEY)
    try:
        assert await api.ask("de", "start-1") == ANSWERED
    finally:
        await api.close()


@pytest.mark.parametrize("kind", ["older", "moved"])
async def test_an_older_one_says_its_port_elsewhere(api: Gluetun, vpn: Vpn, kind: str) -> None:
    vpn.fault(kind)
    assert await api.ask("de", "start-1") == ANSWERED


@pytest.mark.parametrize(
    ("kind", "amount", "port"),
    [("port", 50001, 50001), ("port", 0, 0), ("several_ports", None, 43210)],
)
async def test_the_port_that_is_forwarded(
    api: Gluetun, vpn: Vpn, kind: str, amount: int | None, port: int
) -> None:
    vpn.fault(kind, amount=amount)
    assert (await api.ask("de", "start-1")).port == port


@pytest.mark.parametrize("kind", ["lost", "no_public_ip", "unhealthy"])
async def test_without_a_tunnel_it_is_not_healthy(api: Gluetun, vpn: Vpn, kind: str) -> None:
    vpn.fault(kind)
    answered = await api.ask("de", "start-1")
    assert not answered.is_healthy
    assert answered.public_ip == (HERE if kind == "unhealthy" else "")


@pytest.mark.parametrize("key", ["", "another"])
async def test_a_key_that_is_refused_names_the_setting(client: Ask, vpn: Vpn, key: str) -> None:
    said = str(await silence(client(vpn.control, vpn.health, key)))
    assert "its control server answered 401 to GET /v1/publicip/ip" in said
    assert "VPN_API_KEY" in said
    assert "another" not in said


@pytest.mark.parametrize(
    ("kind", "server"), [("hang", "health server"), ("hang_control", "control server")]
)
async def test_one_that_hangs_is_waited_for_so_long(
    api: Gluetun, vpn: Vpn, kind: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gluetun._WITHIN == 2
    monkeypatch.setattr(gluetun, "_WITHIN", 0.05)
    vpn.fault(kind)
    silent = await silence(api)
    assert str(silent).startswith(f"its {server} (127.0.0.1:")
    assert "): no answer within 0.05 s" in str(silent)
    assert silent.failure is Failure.TIMEOUT


@pytest.mark.parametrize(
    ("kind", "why"), [("huge", "more than 65536 bytes"), ("bad_json", "what is none")]
)
async def test_what_no_control_server_answers_is_none(
    api: Gluetun, vpn: Vpn, kind: str, why: str
) -> None:
    vpn.fault(kind)
    assert why in str(await silence(api))


async def test_one_that_is_not_there_names_the_setting_of_its_port(client: Ask, vpn: Vpn) -> None:
    silent = await silence(client(vpn.control, free_port()))
    assert "its health server" in str(silent)
    assert "refused the connection" in str(silent)
    assert "VPN_HEALTH_BASE" in str(silent)
    assert silent.failure is Failure.UNREACHABLE
    assert "VPN_CONTROL_BASE" in str(await silence(client(free_port(), vpn.health)))


@pytest.fixture
async def far() -> AsyncIterator[FarSide]:
    """The control server, or the health server, of another make."""
    side = FarSide()
    await side.listen()
    yield side
    await side.close()


ADDRESS = as_json({"public_ip": HERE, "country": "Norway"})


@pytest.mark.parametrize(
    ("forwarded", "port"),
    [
        (as_json({"port": 7}), 7),
        (as_json({"ports": []}), 0),
        (as_json({"ports": [7, 8]}), 7),
        (as_json({}), None),
        (http(b"", "404 Not Found"), None),
    ],
)
async def test_a_port_as_versions_have_it(
    client: Ask, vpn: Vpn, far: FarSide, forwarded: bytes, port: int | None
) -> None:
    far.before, far.answer = [ADDRESS], forwarded
    assert (await client(far.slot.port, vpn.health).ask("de", "start-1")).port == port
    assert f"X-API-Key: {KEY}" in far.requests[0]


@pytest.mark.parametrize(
    "answer",
    [
        as_json({}),
        as_json([]),
        as_json({"public_ip": "here"}),
        as_json({"public_ip": 7}),
        as_json({"public_ip": HERE, "country": "Nor\x1b[31mway"}),
        as_json({"public_ip": HERE, "country": "x" * 100}),
        http(b'{"public_ip": "\xff"}'),
        http(b'{"public_ip": "", "deep": ' + b"[" * 20_000),
        http(b"", "500 Error"),
        http(b"", "301 Moved", "Location: http://192.0.2.1/"),
    ],
)
async def test_an_address_that_is_none(client: Ask, vpn: Vpn, far: FarSide, answer: bytes) -> None:
    far.answer = answer
    said = str(await silence(client(far.slot.port, vpn.health)))
    assert said.startswith(f"its control server (127.0.0.1:{far.slot.port}): answered ")
    assert said.isprintable()
    assert len(far.requests) == 1, "who is named in an answer is not asked"


@pytest.mark.parametrize("port", [-1, 65536, "7", True, 7.5, [7]])
async def test_a_port_that_is_none(client: Ask, vpn: Vpn, far: FarSide, port: object) -> None:
    far.before, far.answer = [ADDRESS], as_json({"port": port})
    assert "to GET /v1/portforward" in str(await silence(client(far.slot.port, vpn.health)))


async def test_the_health_server_gets_no_key_and_says_one_of_two_things(
    client: Ask, vpn: Vpn, far: FarSide
) -> None:
    far.answer = http(b"", "503 Unavailable")
    said = str(await silence(client(vpn.control, far.slot.port)))
    assert "its health server" in said
    assert "answered 503" in said
    assert KEY not in far.requests[0]
