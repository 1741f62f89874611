"""A fleet on this machine: three hosts on addresses of loopback, and three servers for them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from acekeeper.settings import SETTINGS

from ..nats import FLEET, cluster
from ..ports import engine_ports
from ..running import Service, run, settings

HOSTS = {"a": "127.0.0.1", "b": "127.0.0.2", "c": "127.0.0.3"}
ENGINES = 2  # of each
_COMMAND = f"{SETTINGS['ENGINE_COMMAND'].kind.default} --start-delay 0"


@contextmanager
def fleet(directory: Path) -> Iterator[dict[str, Service]]:
    """By their names. When it is over nothing of them is left, engines neither."""
    with ExitStack() as stack:
        servers = stack.enter_context(cluster(directory, 3))
        named = ",".join(f"{host}:{port}" for host, port in (s.address for s in servers))
        hosts = {}
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
            hosts[name] = Service(environ, place)
            stack.callback(hosts[name].kill)
            stack.callback(run, environ, "stop")
        for service in hosts.values():
            service.wait_for("serving")
        yield hosts


def api(service: Service) -> str:
    return f"http://{service.environ['APP_HOST']}:{service.environ['APP_PORT']}"


def gateway(service: Service) -> str:
    return f"http://{service.environ['FLEET_ADDRESS']}:{service.environ['GATEWAY_PORT']}"
