"""`doctor`: what is wrong on this host."""

import argparse
import os

from acekeeper.cli.commands import Commands


def add(commands: Commands) -> None:
    text = "say what is wrong on this host and what to do; ends with 1 if anything is"
    commands.add("doctor", _doctor, text)


def _doctor(_: argparse.Namespace) -> int:
    from acekeeper.doctor import examine

    status = 0
    for finding in examine(os.environ):
        if finding.is_well:
            print(f"ok     {finding.text}")
        else:
            status = 1
            print(f"wrong  {finding.text}. {finding.advice}.")
    return status
