"""The URLs in an answer: they name the address at which the player's connection arrived."""

from acekeeper.gateway.door import Answer, Call


def origin(call: Call, port: int | None = None) -> str:
    """Of the gateway, or of what listens on `port` of the same address."""
    address, own = call.arrival
    return f"http://{f'[{address}]' if ':' in address else address}:{port or own}"


def redirect(call: Call, path: str, port: int | None = None) -> Answer:
    to = origin(call, port) + path
    return Answer(status=302, body=f"Redirect to {to}".encode(), headers={"Location": to})
