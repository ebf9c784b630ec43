"""devstack/up, down, status and logs."""

import os
import shutil
import sys
from pathlib import Path

import click

from devstack import catalogue, place, process, services, stack
from devstack.process import StackError

_NAMES = click.argument("services", nargs=-1, metavar="[SERVICE]...")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=place.default_folder,
    help="Where everything is kept.  [default: $DEVSTACK_STATE, or .state/openstack]",
)
@click.pass_context
def main(context: click.Context, folder: Path) -> None:
    """Real OpenStack services on this machine's loopback."""
    context.obj = folder.resolve()


@main.command()
@click.option("--first-port", type=click.IntRange(1024, 65000), help="Count ports from here.  [default: free ones]")
@click.option("--only", multiple=True, metavar="SERVICE", help="Only this one and what it needs.")
@click.option("--vms", is_flag=True, help="Servers are virtual machines in a network of their own.  [default: fakes]")
@click.option(
    "--venv",
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    help="Where the services are installed.  [default: in the folder]",
)
@click.pass_obj
def up(folder: Path, first_port: int | None, only: tuple[str, ...], vms: bool, venv: Path | None) -> None:
    """Install and start all services, or some and what they need. Those that run are left alone."""
    here = place.make(folder, first_port, vms=vms, venv=venv)
    if vms and not here.vms:
        raise StackError(
            f"the services in {folder} have fake servers; choose another --folder, or: devstack/down --clean"
        )
    say = stack.stopwatch()
    stack.up(here, say, stack.known(only))
    say("all is up")
    click.echo(f"""
    export OS_CLIENT_CONFIG_FILE={here.clouds_yaml}

    OS_CLOUD=admin          the administrator
    OS_CLOUD=admin-system   the same for Ironic
    OS_CLOUD={catalogue.PROJECT}             the pool's project
    OS_CLOUD={catalogue.FLOATING}    the same, where servers are reached by floating IPs only
    OS_CLOUD={catalogue.OTHER_PROJECT}  a project of somebody else's
""")
    if here.vms:
        click.echo(f"    ip netns exec {here.namespace} …    where servers are reached, by their floating IPs\n")


@main.command()
@click.option("--clean", is_flag=True, help="Remove what they kept, too; the installation stays.")
@_NAMES
@click.pass_obj
def down(folder: Path, clean: bool, services: tuple[str, ...]) -> None:
    """Stop all services, or some. What they keep stays."""
    here = place.find(folder)
    if here is None:
        click.echo(f"nothing was ever started in {folder}")
        return
    if clean and services:
        raise StackError("--clean removes what all services keep, so none can be named")
    ran = stack.down(here, stack.known(services))
    click.echo(f"stopped: {', '.join(ran)}" if ran else "nothing ran")
    if clean:
        for each in (here.data, here.etc, here.logs, here.pids):
            shutil.rmtree(each, ignore_errors=True)
        for file in (here.clouds_yaml, folder / "place.json"):
            file.unlink(missing_ok=True)


@main.command()
@click.pass_obj
def status(folder: Path) -> None:
    """Tell of each service whether it runs and answers. Ends with 1 when any does not."""
    here = place.find(folder)
    if here is None:
        raise StackError(f"nothing was ever started in {folder}")
    well = True
    for service in services.of(here):
        found = process.running(here, service.name)
        answers = found is not None and service.up(here)
        well = well and answers
        port = here.ports.get(service.name, "")
        state = "up" if answers else "does not answer" if found else "down"
        click.echo(f"{service.name:22} {state:16} {found.pid if found else '':>8} {port:>6}")
    sys.exit(0 if well else 1)


@main.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-n", "--lines", default=40, show_default=True, type=click.IntRange(1))
@_NAMES
@click.pass_obj
def logs(folder: Path, follow: bool, lines: int, services: tuple[str, ...]) -> None:
    """Show the ends of all logs, or of some services'."""
    wanted = stack.known(services)
    found = sorted((folder / "log").glob("*.log"))
    files = [str(file) for file in found if not wanted or file.stem in wanted]
    if not files:
        raise StackError(f"there are no logs in {folder / 'log'}")
    os.execvp("tail", ["tail", f"--lines={lines}", *(["--follow=name"] if follow else []), "--", *files])


if __name__ == "__main__":
    try:
        main(prog_name="devstack", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(130)
    except StackError as error:
        click.echo(f"devstack: {error}", err=True)
        sys.exit(1)
