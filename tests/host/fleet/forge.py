"""Runs on a host of a fleet, as root, with the certificate of that host: says what is another
host's to say.

    forge.py SERVER SUBJECT...

A subject that begins with `+` is listened to. Prints what the server said; at least a word for each
of them is waited for.
"""

import asyncio
import json
import ssl
import sys

import nats

CERTIFICATES = "/etc/acekeeper/fleet"
LIMIT_S = 60.0


async def main(server: str, *subjects: str) -> None:
    said: list[str] = []
    enough = asyncio.Event()

    async def listen(error: Exception) -> None:
        said.append(str(error))
        if len(said) >= len(subjects):
            enough.set()

    context = ssl.create_default_context(cafile=f"{CERTIFICATES}/ca.crt")
    context.check_hostname = False  # the servers are known by their addresses here
    context.load_cert_chain(f"{CERTIFICATES}/host.crt", f"{CERTIFICATES}/host.key")
    client = await nats.connect(f"tls://{server}:4222", tls=context, error_cb=listen)
    for subject in subjects:
        if subject.startswith("+"):
            await client.subscribe(subject[1:])
        else:
            await client.publish(subject, b"{}")
    try:
        await asyncio.wait_for(enough.wait(), LIMIT_S)
    except TimeoutError:
        said.append("no word of the rest")
    await client.close()
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
