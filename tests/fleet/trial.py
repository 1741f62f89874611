"""A fleet on this machine: three hosts on addresses of loopback, and three servers for them."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

from acekeeper.settings import SETTINGS

from ..nats import FLEET, NatsServer, cluster
from ..ports import engine_ports
from ..running import LIMIT_S, Service, run, settings, until

HOSTS = {"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.3"}
ENGINES = 2  # of each
_COMMAND = f"{SETTINGS['ENGINE_COMMAND'].kind.default} --start-delay 0"


class Trial(NamedTuple):
    hosts: dict[str, Service]  # by their names
    servers: list[NatsServer]
    settings: dict[str, Path]  # a host's, for SETTINGS_FILE


@contextmanager
def fleet(directory: Path) -> Iterator[Trial]:
    """Hosts that know each other. When it is over nothing of it is left, engines neither."""
    with ExitStack() as stack:
        servers = stack.enter_context(cluster(directory, 3))
        named = ",".join(f"{host}:{port}" for host, port in (s.address for s in servers))
        hosts, files = {}, {}
        for name, address in HOSTS.items():
            place = directory / name
            place.mkdir()
            environ = settings(
                place,
                FLEET_NAME=FLEET,
                FLEET_HOST=name,
                FLEET_SERVERS=named,
                FLEET_ADDRESS=address,
                APP_HOST=address,
                ENGINE_HOST=address,
                GATEWAY_HOST=address,
                ENGINE_COMMAND=_COMMAND,
                MIN_REPLICAS=str(ENGINES),
                MAX_REPLICAS=str(ENGINES),
                **engine_ports(ENGINES),
            )
            files[name] = directory / f"{name}.env"
            files[name].write_text(
                "".join(f"{n}={v}\n" for n, v in environ.items() if n in SETTINGS)
            )
            hosts[name] = Service(environ, place)
            stack.callback(hosts[name].kill)
            stack.callback(run, environ, "stop")
        for service in hosts.values():
            service.wait_for("serving")
        until(lambda: all(_free_elsewhere(h) == 2 * [ENGINES] for h in hosts.values()))
        yield Trial(hosts, servers, files)


def _free_elsewhere(service: Service) -> list[int]:
    """The free engines of the other hosts, by what this one heard."""
    rows = get(f"{api(service)}/fleet")["hosts"]
    return [row["free"] for row in rows if not row["is_this"]]


def get(url: str) -> Any:
    with urlopen(url, timeout=LIMIT_S) as answer:
        return json.load(answer)


def api(service: Service) -> str:
    return f"http://{service.environ['APP_HOST']}:{service.environ['APP_PORT']}"


def gateway(service: Service) -> str:
    return f"http://{service.environ['FLEET_ADDRESS']}:{service.environ['GATEWAY_PORT']}"
