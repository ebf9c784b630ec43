"""How the program is called: options, help, exit statuses, and what it says when its surroundings fail it."""

import logging
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from nodepool_ng.cli.main import COMMANDS, cli
from nodepool_ng.cli.session import Surroundings
from nodepool_ng.model.settings import ZooKeeperSettings
from nodepool_ng.zk.store import Get


@pytest.fixture(autouse=True)
def root_logger():
    """Every call sets up logging; the next test gets back what was there."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def test_without_a_command_there_is_help_and_status_1(world):
    result = world.run()
    assert (result.exit_code, result.stderr) == (1, "")
    assert all(f"\n  {command} " in result.stdout for command in COMMANDS)


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_status_0(world, option):
    assert world.run(option).exit_code == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(world, command):
    result = world.run(command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: nodepool {command}")


def test_the_version_is_told_as_scripts_expect(world):
    result = world.run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("Nodepool version: ")


@pytest.mark.parametrize(
    "args",
    [
        ("no-such-command",),
        ("list", "-c", "file"),
        ("list", "extra"),
        ("delete",),
        ("hold", "../images"),
        ("image-build", ""),
        ("image-delete", "--provider", "p", "--image", "i", "--upload-id", "1"),
        ("list", "--format", "xml"),
    ],
)
def test_wrong_calls_are_status_2_and_said_on_stderr(world, args):
    result = world.run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


def test_the_files_named_by_the_options_are_loaded(world):
    asked = []
    load = world.surroundings.load
    world.surroundings = replace(world.surroundings, load=lambda *files: asked.append(files) or load(*files))
    world.run("-c", "main.yaml", "-s", "secure.yaml", "list")
    world.run("list")
    assert asked == [("main.yaml", "secure.yaml"), ("/etc/nodepool/nodepool.yaml", None)]


def test_a_configuration_without_zookeeper_is_one_sentence(world):
    world.configure(zookeeper=None)
    result = world.run("-c", "main.yaml", "list")
    assert (result.exit_code, result.output) == (1, "main.yaml names no ZooKeeper: add zookeeper-servers to it.\n")


def test_a_configuration_that_cannot_be_loaded_is_its_complaints(tmp_path):
    file = tmp_path / "nodepool.yaml"
    file.write_text("zookeeper-servers: {host: [}\n")
    result = CliRunner().invoke(cli, ["-c", str(file), "list"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{file}:1:")
    assert "Traceback" not in result.stderr


def test_a_missing_configuration_is_one_sentence(tmp_path):
    result = CliRunner().invoke(cli, ["-c", str(tmp_path / "none.yaml"), "list"])
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "none.yaml" in result.stderr


class Silence:
    """A ZooKeeper that never answers; the connection's own log says why."""

    session = 0
    connected = False

    def watch(self, roots, on_news):
        pass

    def start(self):
        logging.getLogger("nodepool_ng.zk.client.connection").warning("Connection dropped: refused")

    def stop(self):
        pass


def test_an_unreachable_zookeeper_is_one_sentence_with_hosts_reason_and_remedy(world):
    world.surroundings = replace(world.surroundings, open_store=lambda settings: Silence())
    result = world.run("list")
    assert (result.exit_code, result.stdout) == (1, "")
    [line] = result.stderr.splitlines()
    assert "zk1.example:2281, zk2.example:2281" in line
    assert "Connection dropped: refused" in line
    assert "zookeeper-servers" in line


def test_a_key_that_cannot_be_read_is_told_before_anything_is_tried(world):
    world.configure(zookeeper=ZooKeeperSettings(hosts=("zk:2281",), tls_key="/none/client.key"))
    result = world.run("list")
    assert (result.exit_code, world.stores) == (1, [])
    assert "/none/client.key" in result.stderr


def test_a_connection_that_is_lost_while_reading_is_one_sentence(world):
    world.put_node("0000000001")
    open_store = world.surroundings.open_store

    def breaking(settings):
        store = open_store(settings)
        store.before = lambda verb: store.suspend() if isinstance(verb, Get) else None
        return store

    world.surroundings = replace(world.surroundings, open_store=breaking)
    result = world.run("list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "The connection to ZooKeeper at zk1.example:2281, zk2.example:2281 was lost. Try again.\n"


def test_every_command_closes_its_session(world):
    world.put_node("0000000001")
    for args in (["list"], ["hold", "0000000001"], ["delete", "0000000009"]):
        world.run(*args)
        assert not world.tree.alive(world.stores[-1].session_id)


LOGGING = {
    "log.yaml": "version: 1\ndisable_existing_loggers: false\nroot: {level: ERROR}\n",
    "log.json": '{"version": 1, "disable_existing_loggers": false, "root": {"level": "ERROR"}}',
    "log.conf": "[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nlevel=ERROR\nhandlers=\n",
}


@pytest.mark.parametrize("name", LOGGING)
def test_logging_may_be_configured_in_three_languages(world, tmp_path, name):
    (tmp_path / name).write_text(LOGGING[name])
    assert world.run("-l", str(tmp_path / name), "list").exit_code == 0
    assert logging.getLogger().level == logging.ERROR


@pytest.mark.parametrize("name", LOGGING)
@pytest.mark.parametrize("text", [None, "{", "1", "version: 7"])
def test_an_unusable_logging_configuration_is_one_sentence(world, tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    result = world.run("-l", str(tmp_path / name), "list")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"The logging configuration {tmp_path / name} ")


def test_only_debug_tells_of_the_connection(world):
    def chatty(settings):
        logging.getLogger("nodepool_ng.zk.client").warning("flicker")
        return open_store(settings)

    open_store = world.surroundings.open_store
    world.surroundings = replace(world.surroundings, open_store=chatty)
    assert world.run("list").stderr == ""
    assert "flicker" in world.run("--debug", "list").stderr


FORBIDDEN = (
    "openstack",
    "keystoneauth1",
    "asyncssh",
    "uvicorn",
    "starlette",
    "rich",
    "statsd",
    "apscheduler",
    "sqlite3",
)

IMPORTS = """
import sys
from nodepool_ng.cli.main import cli
from nodepool_ng.cli.session import Surroundings
import nodepool_ng.zk.client, nodepool_ng.zk.blocking, nodepool_ng.config
try:
    cli(["list", "--help"])
except SystemExit:
    pass
print(*sys.modules, sep="\\n", file=sys.stderr)
"""


def test_list_needs_none_of_the_heavy_libraries():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stderr.splitlines()}
    assert not loaded & set(FORBIDDEN)


def test_the_defaults_are_the_real_things():
    assert Surroundings().connect_timeout == 10
    assert Surroundings().lock_timeout == 5
