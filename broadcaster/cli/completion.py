"""The command that prints a shell's completion of all others."""

import click
from click.shell_completion import get_completion_class

from broadcaster.cli.base import cli
from broadcaster.cli.saying import say_lines
from broadcaster.errors import Misconfigured

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes SHELL complete these commands.

    Example: broadcaster completion bash > /etc/bash_completion.d/broadcaster
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise Misconfigured(f"there is no completion for {shell}")
    say_lines(kind(cli, {}, "broadcaster", "_BROADCASTER_COMPLETE").source() + "\n")
