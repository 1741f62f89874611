"""Runs on a host of a fleet, as root, with the certificate of that host: says what is another
host's to say.

    forge.py SERVER BODY SUBJECT...

Prints, by subject, what the server said of it: a subject that begins with `+` is listened to.
"""

import asyncio
import json
import ssl
import sys

import nats

CERTIFICATES = "/etc/acekeeper/fleet"


async def main(server: str, body: str, *subjects: str) -> None:
    said: dict[str, list[str]] = {}

    async def listen(error: Exception) -> None:
        said[subject].append(str(error))

    context = ssl.create_default_context(cafile=f"{CERTIFICATES}/ca.crt")
    context.check_hostname = False  # the servers are known by their addresses here
    context.load_cert_chain(f"{CERTIFICATES}/host.crt", f"{CERTIFICATES}/host.key")
    client = await nats.connect(f"tls://{server}:4222", tls=context, error_cb=listen)
    for subject in subjects:
        said[subject] = []
        if subject.startswith("+"):
            await client.subscribe(subject[1:])
        else:
            await client.publish(subject, body.encode())
        await client.flush()  # what the server refuses, it says before it answers this
    await client.close()
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
