#!/usr/bin/python3
"""Waits until services are ready, and until Prometheus has scraped every host.

    wait_until_scraped.py SECONDS PROMETHEUS READY_URL... -- HOST...

Prints what is missing, and ends with 1, when it is not so within that time each.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import Any
from urllib.request import ProxyHandler, build_opener

PAUSE_S = 0.2
ask = build_opener(ProxyHandler({})).open


def main() -> int:
    seconds, prometheus, *rest = sys.argv[1:]
    end = rest.index("--")
    missing = wait(float(seconds), lambda: not_ready(rest[:end]))
    if not missing:
        missing = wait(float(seconds), lambda: not_scraped(prometheus, rest[end + 1 :]))
    sys.stdout.write("".join(f"{line}\n" for line in missing))
    return 1 if missing else 0


def wait(seconds: float, step: Callable[[], Iterator[str]]) -> list[str]:
    """For nothing to be missing; what is at last."""
    due = time.monotonic() + seconds
    while (missing := list(step())) and time.monotonic() < due:
        time.sleep(PAUSE_S)
    return missing


def not_ready(urls: list[str]) -> Iterator[str]:
    for url in urls:
        try:
            ask(url, timeout=5).close()
        except (OSError, HTTPException) as error:
            yield f"{url} does not answer: {error}"


def not_scraped(prometheus: str, hosts: list[str]) -> Iterator[str]:
    """It begins without any."""
    try:
        with ask(f"{prometheus}/api/v1/targets?state=active", timeout=5) as answer:
            targets: list[dict[str, Any]] = json.load(answer)["data"]["activeTargets"]
    except (OSError, HTTPException, ValueError) as error:
        yield f"{prometheus} does not say whom it scrapes: {error}"
        return
    known = {target["labels"]["instance"]: target for target in targets}
    for host in hosts:
        target = known.get(host, {})
        if target.get("health") != "up":
            yield f"{host} was not scraped: {target.get('lastError') or 'not asked yet'}"


if __name__ == "__main__":
    sys.exit(main())
