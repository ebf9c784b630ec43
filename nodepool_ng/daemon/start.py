"""From the command line to a daemon that may begin: its files are read, its log is open, its pid file is its own."""

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

import nodepool_ng
from nodepool_ng.config import ConfigError, Loaded, clouds_files, load, render
from nodepool_ng.config.exposure import exposed, secret_files
from nodepool_ng.daemon.process import (
    AlreadyRunning,
    PidFile,
    absolute,
    block_signals,
    in_foreground,
    into_background,
    share_one_heap,
)
from nodepool_ng.telemetry import logs

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """One of the daemons: its logger, what its files are called unless told, and the signals that it waits for."""

    name: str
    log: str
    pid: str
    signals: tuple[signal.Signals, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What the options of every daemon say."""

    config: str
    secure: str | None
    log_config: str | None
    log_format: str
    pid: str | None
    foreground: bool
    debug: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a daemon begins with. Paths are absolute; `let_go` is to be called as soon as nothing that can be known at
    once is in its way."""

    config: str
    secure: str | None
    loaded: Loaded
    pid_file: PidFile | None
    let_go: Callable[[], None]


def options(daemon: Daemon) -> Callable[[_F], _F]:
    """Give a command the options of `Typed`, `--repl` and `--version`."""
    given = (
        click.option(
            "-c", "config", default="/etc/nodepool/nodepool.yaml", show_default=True, help="The configuration file."
        ),
        click.option("-s", "secure", default=None, help="The file with secrets."),
        click.option("-l", "log_config", default=None, help="A logging configuration: .yaml, .json, or ini."),
        click.option(
            "--log-format",
            type=click.Choice(logs.FORMATS),
            default=logs.TEXT,
            show_default=True,
            help="Where -l is not given.",
        ),
        click.option("-p", "pid", default=None, help=f"The pid file.  [default: {daemon.pid}, if in background]"),
        click.option("-f", "foreground", is_flag=True, help="Stay in the foreground."),
        click.option("-d", "debug", is_flag=True, help="Stay in the foreground and log everything."),
        click.option(
            "--repl", is_flag=True, help="Listen with a Python console on port 3000 of this machine; no password."
        ),
        click.version_option(nodepool_ng.__version__, message="Nodepool version: %(version)s"),
    )

    def give(command: _F) -> _F:
        for option in reversed(given):
            command = option(command)
        return command

    return give


@contextmanager
def starting(daemon: Daemon, typed: Typed) -> Iterator[Start]:
    """Read the files, go into the background unless told to stay, open the log, and hold the pid file for the block.

    Raises:
        ClickException: something is not as it should be; the sentence is for whoever typed the command.
    """
    try:
        loaded = load(typed.config, typed.secure)
    except ConfigError as error:
        raise click.ClickException(render(error.complaints)) from None
    stays = typed.foreground or typed.debug
    config = str(Path(typed.config).absolute())
    secure, log_config, pid = map(absolute, (typed.secure, typed.log_config, typed.pid))
    let_go = in_foreground if stays else into_background()
    block_signals(daemon.signals)
    share_one_heap()
    try:
        if log_config is not None:
            logs.from_file(log_config)
        else:
            logs.plain(debug=typed.debug, file=None if stays else daemon.log, form=typed.log_format)
    except logs.BadLoggingConfig as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"the log cannot be written: {error}; -l says where else it is to go") from None
    log = logging.getLogger(f"nodepool.{daemon.name}")
    clouds = clouds_files(os.environ, os.getcwd(), str(Path.home()))
    for sentence in (*loaded.warnings, *exposed(config, secret_files(loaded.settings, config, secure, clouds))):
        log.warning("%s", sentence)
    path = pid or (None if stays else daemon.pid)
    with ExitStack() as ends:
        pid_file: PidFile | None = None
        if path is not None:
            try:
                pid_file = ends.enter_context(PidFile(path))
            except (AlreadyRunning, OSError) as error:
                raise click.ClickException(f"the pid file cannot be had: {error}") from None
        yield Start(config=config, secure=secure, loaded=loaded, pid_file=pid_file, let_go=let_go)
