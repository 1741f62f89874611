"""Prints a line for each firewall of this host that keeps other peers from the engines' ports
FIRST-LAST, with the command that lets them in. What acekeeper's own table accepts, another one may
drop all the same."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

OURS = ("inet", "acekeeper")
# Tables that these write themselves.
OF_UFW = {("ip", "filter"), ("ip6", "filter")}
OF_FIREWALLD = {("inet", "firewalld"), ("ip", "firewalld"), ("ip6", "firewalld")}
PROTOCOLS = ("tcp", "udp")

Rule = list[dict[str, Any]]  # its expressions


def closing(ruleset: list[dict[str, Any]], first: int, last: int) -> Iterator[tuple[str, str, str]]:
    """Family, table and name of each chain for what comes in that drops it for both or one."""
    rules = [item["rule"] for item in ruleset if "rule" in item]
    for item in ruleset:
        chain = item.get("chain", {})
        table = chain.get("family"), chain.get("table")
        if chain.get("hook") != "input" or chain.get("type") != "filter" or table == OURS:
            continue
        of_table = [r for r in rules if (r["family"], r["table"]) == table]
        of_chain = [r["expr"] for r in of_table if r["chain"] == chain["name"]]
        is_closed = chain.get("policy") == "drop" or (of_chain and _drops_all(of_chain[-1]))
        if is_closed and not all(
            any(_lets_in(r["expr"], protocol, first, last) for r in of_table)
            for protocol in PROTOCOLS
        ):
            yield *table, chain["name"]


def _drops_all(rule: Rule) -> bool:
    return {next(iter(part)) for part in rule} - {"counter", "log"} <= {"drop", "reject"}


def _lets_in(rule: Rule, protocol: str, first: int, last: int) -> bool:
    """From everybody: a rule that asks for more than ports and a new connection does not."""
    ports = False
    for part in rule:
        match = part.get("match")
        if match is None:
            continue
        left = match["left"]
        if left.get("payload", {}).get("field") == "dport":
            if left["payload"]["protocol"] not in (protocol, "th") or match["op"] == "!=":
                return False
            ports = _covers(match["right"], first, last)
            if not ports:
                return False
        elif left.get("meta", {}).get("key") == "l4proto":
            if protocol not in str(match["right"]):
                return False
        elif left.get("ct", {}).get("key") != "state":
            return False
    return ports and any("accept" in part for part in rule)


def _covers(right: Any, first: int, last: int) -> bool:
    if isinstance(right, dict) and "set" in right:
        return any(_covers(each, first, last) for each in right["set"])
    if isinstance(right, dict) and "range" in right:
        low, high = right["range"]
        return bool(low <= first and last <= high)
    return bool(right == first == last)


def told(first: int, last: int) -> Iterator[str]:
    ports = f"{first}-{last}" if first < last else f"{first}"
    others: set[tuple[str, str]] = set()
    status = _said("ufw", "status", "verbose") if shutil.which("ufw") else ""
    if "Status: active" in status:
        others |= OF_UFW
        named = ports.replace("-", ":")
        lines = [line.split()[:4] for line in status.splitlines()]
        wanted = [p for p in PROTOCOLS if [f"{named}/{p}", "ALLOW", "IN", "Anywhere"] not in lines]
        if wanted and "Default: allow (incoming)" not in status:
            yield "ufw: " + " && ".join(f"ufw allow {named}/{p}" for p in wanted)
    if shutil.which("firewall-cmd") and _said("firewall-cmd", "--state") == "running":
        others |= OF_FIREWALLD
        zone = f"--zone={_zone()}"
        queried = {p: _said("firewall-cmd", zone, f"--query-port={ports}/{p}") for p in PROTOCOLS}
        if wanted := [p for p in PROTOCOLS if queried[p] != "yes"]:
            # Not by a reload, with which all would be lost that is not permanent.
            adds = " ".join([zone, *(f"--add-port={ports}/{p}" for p in wanted)])
            yield f"firewalld: firewall-cmd {adds} && firewall-cmd --permanent {adds}"
    if shutil.which("nft"):
        ruleset = json.loads(_said("nft", "-j", "list", "ruleset") or '{"nftables": []}')
        for family, table, chain in closing(ruleset["nftables"], first, last):
            if (family, table) not in others:
                yield (
                    f"nftables: nft insert rule {family} {table} {chain}"
                    f" meta l4proto '{{ tcp, udp }}' th dport {ports} accept"
                    " (and the same where those rules are written, as in /etc/nftables.conf)"
                )


def _zone() -> str:
    """firewalld's, of the interface by which other peers come."""
    route = _said("ip", "-4", "route", "show", "default").split() if shutil.which("ip") else []
    interface = route[route.index("dev") + 1] if "dev" in route else ""
    zone = _said("firewall-cmd", f"--get-zone-of-interface={interface}") if interface else ""
    return zone or _said("firewall-cmd", "--get-default-zone")


def _said(*command: str) -> str:
    """In English, which ufw and firewalld would else translate."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return ran.stdout.strip()


if __name__ == "__main__":
    start, _, end = sys.argv[1].partition("-")
    for line in told(int(start), int(end or start)):
        print(line)
