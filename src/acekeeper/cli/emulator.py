"""`emulator`: one emulated engine, or one emulated VPN."""

from acekeeper.cli.commands import Commands

NAME = "emulator"


def add(commands: Commands) -> None:
    text = "run one emulated engine, or with the word `vpn` one emulated VPN"
    commands.add(NAME, lambda _: run([]), text, "--help shows its options, `vpn --help` a VPN's")


def run(words: list[str]) -> int:
    """Its options are the engine's, and not for argparse: `main` comes here without it."""
    from acekeeper import emulator

    return emulator.main(words)
