"""The command that makes shells complete the others."""

import click
from click.shell_completion import get_completion_class

SHELLS = {
    "bash": 'eval "$(nodepool completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(nodepool completion zsh)" in ~/.zshrc',
    "fish": "nodepool completion fish > ~/.config/fish/completions/nodepool.fish",
}


@click.command(epilog="To have it always: " + "; ".join(SHELLS.values()))
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and options of this program."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "nodepool", "_NODEPOOL_COMPLETE").source())
