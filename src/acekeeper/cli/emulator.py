"""`emulator`: one emulated engine."""

from acekeeper.cli.commands import Commands

NAME = "emulator"


def add(commands: Commands) -> None:
    text = "run one emulated engine; docs/emulator.md has its options"
    commands.add(NAME, lambda _: run([]), text)


def run(words: list[str]) -> int:
    """Its options are the engine's, and not for argparse: `main` comes here at once."""
    from acekeeper import emulator

    return emulator.main(words)
