"""`doctor`: what is wrong on this host."""

import argparse
import os
from typing import TYPE_CHECKING

from acekeeper.cli.commands import Commands, add_json

if TYPE_CHECKING:
    from acekeeper.doctor import Finding


def add(commands: Commands) -> None:
    text = "say what is wrong on this host and what to do"
    parser = commands.add("doctor", _doctor, text, "ends with 1 if anything is")
    parser.add_argument(
        "--fix",
        action="store_true",
        help="first do what mends it, and say each step; no engine is stopped",
    )
    add_json(parser, "a JSON array of {ok, text, advice}")


def _doctor(arguments: argparse.Namespace) -> int:
    import json
    import sys

    from acekeeper.doctor import examine, mend

    if arguments.fix:
        for step in mend(os.environ):
            print(step, file=sys.stderr if arguments.json else sys.stdout, flush=True)
    findings = []
    for finding in examine(os.environ):
        findings.append(finding)
        if not arguments.json:
            print(_line(finding))
    if arguments.json:
        print(json.dumps([{"ok": f.is_well, "text": f.text, "advice": f.advice} for f in findings]))
    return 0 if all(finding.is_well for finding in findings) else 1


def _line(finding: "Finding") -> str:
    if not finding.is_well:
        return f"wrong  {finding.text}. {finding.advice}."
    return (
        f"note   {finding.text}. {finding.advice}." if finding.advice else f"ok     {finding.text}"
    )
