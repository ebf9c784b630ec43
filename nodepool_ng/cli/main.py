"""The program `nodepool`: global options, and the way to the commands, each of which is loaded when it is called."""

import io
import sys
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

import click
from click.shell_completion import CompletionItem

import nodepool_ng
from nodepool_ng.cli import logs
from nodepool_ng.cli.session import Session, Surroundings

DEFAULT_CONFIG = "/etc/nodepool/nodepool.yaml"

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "config-validate": "config:validate_files",
        "alien-image-list": "aliens:alien_images",
        "audit": "audit:audit",
        "completion": "completion:completion",
        "confirm": "providers:confirm",
        "console": "reaching:console",
        "cordon": "cordoning:cordon",
        "delete": "nodes:delete",
        "dib-image-delete": "builds:delete_build",
        "dib-image-list": "builds:list_builds",
        "doctor": "doctor:doctor",
        "drain": "cordoning:drain",
        "element-test": "element_test:element_test",
        "erase": "providers:erase",
        "explain": "explaining:explain",
        "export-image-data": "data:export_images",
        "freeze": "freezing:freeze",
        "history": "past:history",
        "hold": "nodes:hold",
        "image-build": "images:request_build",
        "image-cancel": "image_work:cancel",
        "image-diff": "image_diff:diff",
        "image-gates": "image_gate:show_gates",
        "image-log": "image_work:show_log",
        "image-progress": "image_work:progress",
        "image-delete": "uploads:delete_upload",
        "image-list": "uploads:list_uploads",
        "image-pause": "images:pause",
        "image-rollback": "image_gate:rollback",
        "image-status": "images:status",
        "image-unpause": "images:unpause",
        "import-image-data": "data:import_images",
        "info": "providers:info",
        "list": "nodes:list_nodes",
        "plan": "planning:plan",
        "request": "requesting:request",
        "request-list": "requests:list_requests",
        "simulate": "planning:simulate",
        "ssh": "reaching:ssh",
        "stats": "past:stats",
        "thaw": "freezing:thaw",
        "top": "top:top",
        "uncordon": "cordoning:uncordon",
        "unhold": "nodes:unhold",
    }
)
"""Command -> module and function below `nodepool_ng.cli`."""


class Commands(click.Group):
    """Loads a command's module when it is the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete names of commands without loading any of them; options as ever."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(name) for name in self.list_commands(ctx) if name.startswith(incomplete)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, function = COMMANDS[name].partition(":")
        command = getattr(import_module(f"nodepool_ng.cli.{module}"), function)
        assert isinstance(command, click.Command)
        return command


def _show_version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"Nodepool version: {nodepool_ng.__version__}")
        ctx.exit()


@click.group(
    name="nodepool",
    cls=Commands,
    invoke_without_command=True,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done, or nothing to do; 1 failed; 2 called wrongly.",
)
@click.option("-c", "config", metavar="FILE", default=DEFAULT_CONFIG, show_default=True, help="Configuration.")
@click.option("-s", "secure", metavar="FILE", help="Secure configuration.")
@click.option("-l", "logging", metavar="FILE", help="Logging configuration: YAML, JSON or ini.")
@click.option("--debug", is_flag=True, help="Tell everything on stderr.")
@click.option("--strict", is_flag=True, help="Exit with 1 when there was nothing to do or something was declined.")
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Print the version."
)
@click.pass_context
def cli(ctx: click.Context, config: str, secure: str | None, logging: str | None, debug: bool, strict: bool) -> None:
    """Look at a pool of nodes and its images, and change them."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit(1)
    logs.configure(logging, debug=debug)
    surroundings = ctx.obj if isinstance(ctx.obj, Surroundings) else Surroundings()
    ctx.obj = Session(surroundings, config, secure, strict=strict)


def main() -> None:
    """Run the program and exit. What a terminal's character set lacks is written as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    cli(prog_name="nodepool")
