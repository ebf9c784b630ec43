"""The services as a table: what each is started with, what has to be there first, and when it is up."""

import os
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from devstack import databases, process, vm_services
from devstack.place import HOST, Place
from devstack.process import StackError, waited
from devstack.service import Service
from devstack.settings import FAKE_HOSTS, QEMU_HOST, compute_hosts

UP_PATIENCE = 180.0  # seconds; on two busy cores a first start takes half of it
ANSWER_PATIENCE = 10.0  # seconds
API_THREADS = 8
REQUEST_FORMAT = "%(method) %(uri) %(status) %(msecs) %(uagent)"
"""One line for each request that an API has answered."""


def start(place: Place, service: Service) -> None:
    """Start a service that does not run; does not wait for it."""
    if process.running(place, service.name) is None:
        process.start(place, service.name, service.argv(place), {**environment(place), **service.env(place)})


def of(place: Place) -> list[Service]:
    """Return the services of a place, each after what it needs."""
    return [service for service in SERVICES if service.runs_in(place)]


def wait_until_up(place: Place, service: Service) -> None:
    """Wait until a service answers; raises `StackError` when it ends instead, or takes too long."""
    ended: list[bool] = []

    def settled() -> bool:
        if process.running(place, service.name) is None:
            ended.append(True)
        return bool(ended) or service.up(place)

    if not waited(settled, UP_PATIENCE):
        log = place.logs / f"{service.name}.log"
        raise StackError(f"{service.name} does not answer after {UP_PATIENCE:.0f} s; its log is {log}")
    if ended:
        raise StackError(process.died(place, service.name))


def environment(place: Place) -> dict[str, str]:
    """Return what the services' programs find in their environment."""
    path = os.environ.get("PATH", os.defpath)
    return {
        "PATH": f"{place.venv / 'bin'}:/usr/local/sbin:/usr/sbin:/sbin:{path}",
        "HOME": str(place.data),
        "TMPDIR": str(place.data / "tmp"),
        "LANG": "C.UTF-8",
        "PYTHONWARNINGS": "ignore",
        "OS_KEYSTONE_CONFIG_DIR": str(place.etc / "keystone"),
        "OS_PLACEMENT_CONFIG_DIR": str(place.etc / "placement"),
        "OS_GLANCE_CONFIG_DIR": str(place.etc / "glance"),
        "OS_NOVA_CONFIG_DIR": str(place.etc / "nova"),
        "OS_NEUTRON_CONFIG_DIR": str(place.etc / "neutron"),
        "OS_NEUTRON_CONFIG_FILES": "neutron.conf;ml2_conf.ini",
    }


def _mariadb(place: Place) -> Sequence[str]:
    return (
        "mariadbd",
        "--no-defaults",
        *(("--user=root",) if os.geteuid() == 0 else ()),
        f"--datadir={place.data / 'mariadb'}",
        f"--socket={place.socket}",
        f"--pid-file={place.data / 'mariadb.pid'}",
        f"--bind-address={HOST}",
        f"--port={place.ports['mariadb']}",
        "--max-connections=1000",
        "--skip-log-bin",
        "--skip-name-resolve",
        "--performance-schema=off",
        "--character-set-server=utf8mb3",
        # what is lost when the machine loses power can be made again
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        "--innodb-flush-method=nosync",
        "--innodb-buffer-pool-size=256M",
        "--innodb-log-file-size=64M",
    )


def _rabbit_env(place: Place) -> Mapping[str, str]:
    folder = place.data / "rabbit"
    config = folder / "rabbitmq.conf"
    config.write_text(
        f"listeners.tcp.1 = {HOST}:{place.ports['rabbit']}\n"
        "vm_memory_high_watermark.absolute = 1GB\n"
        "disk_free_limit.absolute = 50MB\n"
        "log.console.level = warning\n"
    )
    plugins = folder / "plugins"
    plugins.write_text("[].")
    quiet = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"
    return {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"devstack{place.ports['rabbit']}@localhost",
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_DIST_PORT": str(place.ports["rabbit-peers"]),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{quiet} -kernel inet_dist_use_interface {{127,0,0,1}}",
        "ERL_CRASH_DUMP": str(folder / "crash.dump"),
        "ERL_EPMD_PORT": str(place.ports["epmd"]),
        "ERL_EPMD_ADDRESS": HOST,
    }


def _listens(port: str) -> Callable[[Place], bool]:
    def up(place: Place) -> bool:
        with socket.socket() as probe:
            probe.settimeout(ANSWER_PATIENCE)
            return probe.connect_ex((HOST, place.ports[port])) == 0

    return up


def _answers(port: str, path: str = "/") -> Callable[[Place], bool]:
    def up(place: Place) -> bool:
        try:
            with urllib.request.urlopen(place.url(port) + path, timeout=ANSWER_PATIENCE) as answer:
                return bool(answer.status < 500)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code < 500
        except OSError:
            return False

    return up


def _api(
    name: str, module: str, *, needs: tuple[str, ...], processes: int = 1, chunked: bool = False, path: str = "/"
) -> Service:
    """Return an API under uwsgi. Only its HTTP router, which costs a process more, takes uploads of unknown length."""

    def argv(place: Place) -> Sequence[str]:
        address = f"{HOST}:{place.ports[name]}"
        router = ("--http", address, "--http-chunked-input", "--http-auto-chunked", "--http-raw-body")
        return (
            place.program("uwsgi"),
            *("--module", f"{module}:application"),
            *(router if chunked else ("--http-socket", address)),
            *("--processes", str(processes), "--threads", str(API_THREADS)),
            *("--master", "--enable-threads", "--lazy-apps", "--thunder-lock", "--need-app", "--no-orphans"),
            "--die-on-term",
            *("--req-logger", f"file:{place.requests(name)}", "--logformat", REQUEST_FORMAT),
            *("--buffer-size", "65535", "--socket-timeout", "60", "--add-header", "Connection: close"),
        )

    return Service(name=name, argv=argv, up=_answers(name, path), needs=needs)


def _nova(name: str, needs: tuple[str, ...], *, host: str | None = None) -> Service:
    """Return one of Nova's own processes. `up` only tells that it runs; whether it works, Nova's API knows."""
    program = name if host is None else "nova-compute"

    def argv(place: Place) -> Sequence[str]:
        files = ("nova.conf",) if host is None else ("nova.conf", f"{host}.conf")
        configs = [str(place.etc / "nova" / each) for each in files]
        log = str(place.logs / f"{name}.log")
        return (place.program(program), "--log-file", log, *(f"--config-file={each}" for each in configs))

    return Service(
        name=name,
        argv=argv,
        up=lambda place: process.running(place, name) is not None,
        needs=needs,
        runs_in=lambda place: host is None or host in compute_hosts(place),
    )


def _compute(host: str, *needs: str) -> Service:
    return _nova(f"nova-compute-{host}", ("nova-conductor", "placement", *needs), host=host)


SERVICES: tuple[Service, ...] = (
    Service(name="mariadb", argv=_mariadb, up=databases.answers),
    Service(
        name="epmd",
        argv=lambda place: ("epmd", "-port", str(place.ports["epmd"])),
        env=lambda _: {"ERL_EPMD_ADDRESS": HOST},
        up=_listens("epmd"),
    ),
    Service(
        name="rabbit",
        # started by rabbit, epmd would be a daemon that nobody knows of
        needs=("epmd",),
        argv=lambda _: ("/usr/lib/rabbitmq/bin/rabbitmq-server",),
        env=_rabbit_env,
        up=_listens("rabbit"),
    ),
    Service(
        name="memcached",
        argv=lambda place: (
            "memcached",
            *(("-u", "root") if os.geteuid() == 0 else ()),
            *("-l", HOST, "-p", str(place.ports["memcached"]), "-m", "64", "-U", "0"),
        ),
        up=_listens("memcached"),
    ),
    _api("keystone", "keystone.wsgi.api", path="/v3", needs=("mariadb", "memcached")),
    _api("placement", "placement.wsgi.api", needs=("keystone",)),
    _api("glance", "glance.wsgi.api", chunked=True, needs=("keystone",)),
    *vm_services.SERVICES,
    _api("neutron", "neutron.wsgi.api", processes=2, needs=("keystone", "rabbit", *vm_services.NETWORK)),
    *vm_services.NEUTRON_WORKERS,
    _nova("nova-conductor", needs=("keystone", "rabbit")),
    _nova("nova-scheduler", needs=("keystone", "rabbit", "placement")),
    *(_compute(host) for host in FAKE_HOSTS),
    _compute(QEMU_HOST, *vm_services.NETWORK, *vm_services.WORKERS),
    _api(
        "nova",
        "nova.wsgi.osapi_compute",
        needs=(
            *("nova-conductor", "nova-scheduler", "glance", "neutron"),
            *(f"nova-compute-{host}" for host in (*FAKE_HOSTS, QEMU_HOST)),
        ),
    ),
    Service(
        name="ironic",
        needs=("keystone",),
        argv=lambda place: (place.program("ironic"), "--config-file", str(place.etc / "ironic/ironic.conf")),
        up=_answers("ironic"),
    ),
)
BY_NAME: Mapping[str, Service] = MappingProxyType({service.name: service for service in SERVICES})
"""All there are; `of` tells which of them a place has."""
BASE = ("mariadb", "epmd", "rabbit", "memcached")
"""What lies below all of OpenStack."""
