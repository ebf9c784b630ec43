"""MariaDB's files, the databases of the services, and their tables.

Making tables takes the services' migrations minutes, so what came of it is kept, without any contents of ours, in the
user's cache folder.
"""

import grp
import gzip
import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from devstack.place import REGION, Place
from devstack.process import StackError, tail

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
LONGEST_QUERY = 60.0  # seconds
CLIENT = ("mariadb", "--no-defaults", "-uroot")


@dataclass(frozen=True, slots=True)
class Tables:
    """How the tables of one service come to be.

    `migrate` holds for every place alike, so the result may be kept; `enter` writes what holds for one place only.
    """

    databases: tuple[str, ...]
    migrate: tuple[tuple[str, ...], ...]
    enter: tuple[tuple[str, ...], ...] = ()


def create_files(place: Place) -> None:
    """Make the folder that MariaDB keeps everything in, unless it is there. MariaDB must not run."""
    folder = place.data / "mariadb"
    if (folder / "mysql").is_dir():
        return
    shutil.rmtree(folder, ignore_errors=True)
    draft = place.data / "mariadb.new"
    shutil.rmtree(draft, ignore_errors=True)
    argv = [
        "mariadb-install-db",
        "--no-defaults",
        f"--datadir={draft}",
        "--skip-test-db",
        "--auth-root-authentication-method=normal",
        f"--user={pwd.getpwuid(os.geteuid()).pw_name}",
    ]
    run(place, "mariadb-install", argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    draft.rename(folder)


def answers(place: Place) -> bool:
    """Tell whether MariaDB answers."""
    return _client(place, "select 1").returncode == 0


def query(place: Place, statement: str, database: str = "") -> list[list[str]]:
    """Run a statement and return its rows. Raises `StackError`."""
    done = _client(place, statement, database)
    if done.returncode != 0:
        raise StackError(f"MariaDB refused: {done.stderr.strip()}")
    return [line.split("\t") for line in done.stdout.splitlines()]


def create(place: Place, services: Iterable[str], env: Mapping[str, str], cache: Path) -> list[str]:
    """Make the databases and tables of services that have none yet; returns the names of these services.

    Two at a time: Neutron's many migrations take as long as all others together.
    """
    marks = place.data / "migrated"
    marks.mkdir(exist_ok=True)
    todo = [name for name in _LONGEST_FIRST if name in set(services) and not (marks / name).exists()]
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(_one, place, name, env, cache) for name in todo]:
            future.result()
    return todo


def run(place: Place, name: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Run a command to its end. Raises `StackError` with the end of its log when it fails."""
    place.logs.mkdir(parents=True, exist_ok=True)
    log = place.logs / f"{name}.log"
    with log.open("ab") as out:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=dict(env), check=False)
    if done.returncode != 0:
        raise StackError(f"{argv[0]} failed ({done.returncode}); the end of its log ({log}):\n{tail(log, 15)}")


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where migrated tables are kept."""
    above = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".cache"
    return Path(above) / "nodepool_ng" / "devstack"


def _one(place: Place, service: str, env: Mapping[str, str], cache: Path) -> None:
    tables = TABLES[service](place)
    name = f"databases-{service}"
    env = {**env, "OS_BOOTSTRAP_PASSWORD": place.password}
    # begun again from nothing: what an interrupted start has left is of no use to anybody
    for database in tables.databases:
        query(place, f"drop database if exists {database}; create database {database} character set utf8mb3;")
    kept = cache / f"{service}-{_key(service)}.sql.gz"
    if kept.exists():
        _load(place, kept)
    else:
        for argv in tables.migrate:
            run(place, name, [place.program(argv[0]), *argv[1:]], env)
        _keep(place, tables.databases, kept)
    for argv in tables.enter:
        run(place, name, [place.program(argv[0]), *argv[1:]], env)
    (place.data / "migrated" / service).touch()


def _key(service: str) -> str:
    """Return a digest of all that decides how a service's migrated tables look."""
    nowhere = Place(folder=Path("/"), ports=_AnyPort(), password="", venv=Path("/"))
    tables = TABLES[service](nowhere)
    made_by = repr((tables.databases, tables.migrate)).encode()
    return hashlib.sha256(CONSTRAINTS.read_bytes() + made_by).hexdigest()[:16]


class _AnyPort(dict[str, int]):
    def __missing__(self, name: str) -> int:
        return 0


def _keep(place: Place, databases: Sequence[str], kept: Path) -> None:
    argv = ["mariadb-dump", "--no-defaults", "-uroot", f"-S{place.socket}", "--skip-dump-date", "--databases"]
    done = subprocess.run([*argv, *databases], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise StackError(f"mariadb-dump failed: {done.stderr.decode(errors='replace').strip()}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    draft = kept.with_name(f"{kept.name}.{os.getpid()}")
    draft.write_bytes(gzip.compress(done.stdout))
    draft.replace(kept)
    for old in kept.parent.glob(f"{kept.name.partition('-')[0]}-*.sql.gz"):
        if old != kept:
            old.unlink(missing_ok=True)


def _load(place: Place, kept: Path) -> None:
    argv = [*CLIENT, f"-S{place.socket}"]
    done = subprocess.run(argv, input=gzip.decompress(kept.read_bytes()), capture_output=True, check=False)
    if done.returncode != 0:
        kept.unlink(missing_ok=True)
        refusal = done.stderr.decode(errors="replace").strip()
        raise StackError(f"MariaDB refused the tables kept in {kept}, which are removed now: {refusal}")


def _keystone(place: Place) -> Tables:
    program = ("keystone-manage", f"--config-dir={place.etc / 'keystone'}")
    me, mine = pwd.getpwuid(os.geteuid()), grp.getgrgid(os.getegid())
    us = ("--keystone-user", me.pw_name, "--keystone-group", mine.gr_name)
    urls = tuple(f"--bootstrap-{kind}-url={place.identity}" for kind in ("admin", "public", "internal"))
    return Tables(
        ("keystone",),
        ((*program, "db_sync"),),
        (
            (*program, "fernet_setup", *us),
            (*program, "credential_setup", *us),
            (*program, "bootstrap", "--bootstrap-region-id", REGION, *urls),
        ),
    )


def _placement(place: Place) -> Tables:
    return Tables(("placement",), (("placement-manage", f"--config-dir={place.etc / 'placement'}", "db", "sync"),))


def _glance(place: Place) -> Tables:
    return Tables(("glance",), (("glance-manage", f"--config-dir={place.etc / 'glance'}", "db_sync"),))


def _nova(place: Place) -> Tables:
    program = ("nova-manage", f"--config-file={place.etc / 'nova' / 'nova.conf'}")
    # cell0 has to be known before its tables can be made, and the record holds where this place's MariaDB is
    cell0 = (*program, "cell_v2", "map_cell0", "--database_connection", place.database("nova_cell0"))
    return Tables(
        ("nova_api", "nova_cell0", "nova_cell1"),
        ((*program, "api_db", "sync"), cell0, (*program, "db", "sync"), (*program, "cell_v2", "delete_cell", *_CELL0)),
        (cell0, (*program, "cell_v2", "create_cell", "--name", "cell1")),
    )


_CELL0 = ("--cell_uuid", "00000000-0000-0000-0000-000000000000")


def _neutron(place: Place) -> Tables:
    files = tuple(f"--config-file={place.etc / 'neutron' / name}" for name in ("neutron.conf", "ml2_conf.ini"))
    return Tables(("neutron",), (("neutron-db-manage", *files, "upgrade", "heads"),))


def _ironic(place: Place) -> Tables:
    return Tables(("ironic",), (("ironic-dbsync", f"--config-file={place.etc / 'ironic' / 'ironic.conf'}", "upgrade"),))


TABLES = MappingProxyType(
    {
        "keystone": _keystone,
        "placement": _placement,
        "glance": _glance,
        "nova": _nova,
        "neutron": _neutron,
        "ironic": _ironic,
    }
)
_LONGEST_FIRST = ("neutron", "nova", "keystone", "ironic", "glance", "placement")


def _client(place: Place, statement: str, database: str = "") -> subprocess.CompletedProcess[str]:
    argv = [*CLIENT, f"-S{place.socket}", "--batch", "--skip-column-names"]
    return subprocess.run(
        [*argv, *([database] if database else [])],
        input=statement,
        capture_output=True,
        text=True,
        timeout=LONGEST_QUERY,
        check=False,
    )
