"""The recipe for containers: that it names only what there is, and that what is built by it runs.

Buildah needs no service and, with its chroot isolation, no rights that a container on a CI machine has not. The base is
a Debian made of what this machine's apt knows, so no registry of images is needed.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from nodepool_ng.model.settings import ZooKeeperSettings
from tests.daemons.test_launcher import clouds, configure
from tests.support.daemons import PATIENCE, site, wait_for
from tests.support.readme import CHECKOUT

CONTAINERFILE = CHECKOUT / "etc" / "Containerfile"
STAGES = ("builder", "launcher")
SOURCES = """apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
    awk -v r="$1" '$2 == r || index($2, r "-") == 1 { print "deb " $1 " " $2 " " $3 }'"""
"""Lines of sources.list, for a release: what this machine's apt uses itself."""


def steps() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def test_the_containerfile_keeps_the_rules_that_linters_have() -> None:
    found = steps()
    known = {"ARG", "FROM", "WORKDIR", "RUN", "COPY", "USER", "EXPOSE", "ENTRYPOINT", "CMD", "STOPSIGNAL"}
    assert {word for word, _ in found} <= known
    bases = [words.split()[0] for word, words in found if word == "FROM"]
    stages = [words.split()[-1] for word, words in found if word == "FROM"]
    assert stages == ["wheel", "daemon", "launcher", "builder"]
    assert all(base == "${BASE}" or base in stages for base in bases), "one base, named once, with a version"
    assert not any("latest" in words for _, words in found)
    for command in (words for word, words in found if word == "RUN" and "apt-get install" in words):
        assert "--no-install-recommends" in command
        assert "rm -rf /var/lib/apt/lists/*" in command
        assert command.index("apt-get update") < command.index("apt-get install")
    assert all(shlex.split(words) for word, words in found if word == "RUN")
    launcher = found[next(i for i, (_, words) in enumerate(found) if words.endswith("AS launcher")) :]
    assert ("USER", "nodepool") in launcher[:3], "the launcher needs no root"


def commands(words: str) -> list[list[str]]:
    """Return the simple commands of a line of shell, as `a && b | c` has three."""
    found: list[list[str]] = [[]]
    lexer = shlex.shlex(words, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    for word in lexer:
        if set(word) <= set("&|;"):
            found.append([])
        else:
            found[-1].append(word)
    return found


def test_the_containerfile_names_only_what_there_is() -> None:
    """Programs of ours, the interpreter that we need, Debian packages, users and stages: nothing that came and went."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    users, stages = {"root"}, set[str]()
    for word, words in steps():
        match word:
            case "ARG":
                (version,) = re.findall(r"python:(\d+\.\d+)-slim-\w+", words)
                assert SpecifierSet(project["requires-python"]).contains(version)
            case "FROM":
                stages.add(words.split()[-1])
            case "ENTRYPOINT" | "CMD":
                argv = json.loads(words)
                assert all(isinstance(part, str) for part in argv), "the exec form, or signals do not arrive"
                assert word == "CMD" or argv[0] in project["scripts"]
                assert word == "CMD" or argv[1:] == ["-f"], "in the foreground"
            case "USER":
                assert words in users
            case "COPY":
                origin = re.match(r"--from=(\S+) ", words)
                assert origin is None or origin[1] in stages
                sources = re.sub(r"--\S+ ", "", words).split()[:-1]
                assert origin is not None or all((CHECKOUT / source).exists() for source in sources)
            case "RUN":
                for argv in commands(words):
                    if argv[0] == "useradd":
                        users.add(argv[-1])
                    if argv[0] == "install":
                        assert {argv[argv.index("-o") + 1], argv[argv.index("-g") + 1]} <= users


def test_a_builder_in_a_container_has_what_our_elements_run() -> None:
    text = (CHECKOUT / "etc" / "debian-packages.txt").read_text()
    sections = [part.splitlines() for part in text.split("\n\n")]
    building = [lines for lines in sections if lines[0].startswith(("# diskimage-builder", "# elements/"))]
    needed = {line.split("#")[0].strip() for lines in building for line in lines[1:]} - {""}
    assert len(needed) > 10
    (last,) = [words for word, words in steps()[-5:] if word == "RUN"]
    installed = {part for argv in commands(last) if argv[:2] == ["apt-get", "install"] for part in argv[2:]}
    assert needed <= installed


def test_the_samples_and_the_containerfile_tell_of_the_same_places() -> None:
    text = CONTAINERFILE.read_text()
    for service in ("launcher", "builder"):
        unit = (CHECKOUT / "etc" / f"nodepool-{service}.service").read_text()
        (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        assert "/etc/nodepool/nodepool.yaml" in command
        assert f'ENTRYPOINT ["nodepool-{service}", "-f"]' in text
    assert text.count('CMD ["-c", "/etc/nodepool/nodepool.yaml"]') == 2


def test_what_is_not_to_be_in_an_image_is_left_out_of_it() -> None:
    ignored = (CHECKOUT / ".containerignore").read_text().split()
    assert {".venv", ".state"} <= {line.strip("/") for line in ignored}


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="there is no hadolint here")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(["hadolint", "--ignore", "DL3008", str(CONTAINERFILE)], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


class Buildah:
    """A store of images that is gone with its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        policy = folder / "policy.json"
        policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
        self._trust = ["--signature-policy", str(policy)]
        self.mark = f"UNDER_TEST={folder}"
        self.env = {**os.environ, "BUILDAH_ISOLATION": "chroot"}

    def argv(self, *words: str) -> list[str]:
        return ["buildah", "--root", str(self.folder / "store"), "--runroot", str(self.folder / "run"), *words]

    def __call__(self, *words: str) -> str:
        done = subprocess.run(self.argv(*words), env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()

    def base(self, name: str) -> None:
        """Make an image of a Debian with Python and pip that finds packages as this machine does."""
        release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        codename = release["VERSION_CODENAME"].strip('"')
        sources = subprocess.run(["sh", "-c", SOURCES, "sh", codename], capture_output=True, text=True, check=True)
        tree = self.folder / "base.tar"
        wanted = "--include=python3,python3-pip,ca-certificates"
        argv = ["mmdebstrap", "--quiet", "--mode=root", "--variant=apt", wanted, codename, str(tree), "-"]
        made = subprocess.run(argv, input=sources.stdout, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
        container = self("from", "--pull-never", "scratch")
        self("add", container, str(tree), "/")
        tree.unlink()
        self("run", container, "--", "sh", "-c", "rm -f /usr/lib/python3*/EXTERNALLY-MANAGED")
        for place in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf"):
            if Path(place).exists():
                self("add", container, place, place)
        self("commit", "-q", *self._trust, container, name)

    def build(self, stage: str, base: str) -> None:
        recipe = ["-f", str(CONTAINERFILE), "--build-arg", f"BASE=localhost/{base}", "--target", stage, "-t", stage]
        self("bud", "--layers", "--pull-never", *self._trust, *recipe, str(CHECKOUT))

    def processes(self) -> list[int]:
        """Return the ids of processes that were started with our mark."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self.mark.encode() in (place / "environ").read_bytes().split(b"\0"):
                    found.append(int(place.name))
        return found

    def container(self, stage: str) -> str:
        return self("from", "--pull-never", *self._trust, f"localhost/{stage}")


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    made = Buildah(tmp_path_factory.mktemp("buildah"))
    made.base("debian-with-python")
    for stage in STAGES:
        made.build(stage, "debian-with-python")
    yield made
    for pid in made.processes():
        os.kill(pid, signal.SIGKILL)
    made("rm", "--all")
    shutil.rmtree(made.folder)


real = [
    pytest.mark.zookeeper,
    pytest.mark.daemons,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(shutil.which("buildah") is None or os.geteuid() != 0, reason="needs buildah, and root"),
]


@pytest.mark.parametrize("stage", STAGES)
class TestBuilt:
    pytestmark = real

    def test_its_program_and_its_settings_are_those_of_the_recipe(self, buildah: Buildah, stage: str) -> None:
        container = buildah.container(stage)
        user = {"launcher": "nodepool", "builder": "root"}[stage]
        buildah("run", container, "--", f"nodepool-{stage}", "--version")
        buildah("run", container, "--", "sh", "-c", f'test "$(id -un)" = {user}')
        told = json.loads(buildah("inspect", "--type", "image", f"localhost/{stage}"))["OCIv1"]["config"]
        assert told["Entrypoint"] == [f"nodepool-{stage}", "-f"]
        assert told["Cmd"] == ["-c", "/etc/nodepool/nodepool.yaml"]
        assert told["StopSignal"] == "SIGTERM"

    def test_nothing_of_the_checkout_is_in_it(self, buildah: Buildah, stage: str) -> None:
        buildah("run", buildah.container(stage), "--", "sh", "-c", "test ! -e /source && test ! -e /wheels")


class TestAtWork:
    pytestmark = real

    def test_the_launcher_fills_a_pool(self, buildah: Buildah, tmp_path: Path, zookeeper: ZooKeeperSettings) -> None:
        container = buildah.container("launcher")
        with site(tmp_path, zookeeper) as place:
            place.start_clouds(clouds=clouds())
            configure(place, "north", min_ready=2)
            tmp_path.chmod(0o755)  # the launcher is not root there
            seen = ["--volume", f"{tmp_path}:/etc/nodepool:ro", "--volume", f"{tmp_path}:/etc/openstack:ro"]
            program = ["nodepool-launcher", "-f", "-c", "/etc/nodepool/nodepool.yaml"]
            argv = buildah.argv("run", *seen, "--env", buildah.mark, container, "--", *program)
            launcher = place.run(argv, "contained", buildah.env)
            wait_for(lambda: place.ready(2), "the pool is full")
            (pid,) = buildah.processes()
            assert Path(f"/proc/{pid}").stat().st_uid == 10001
            os.kill(pid, signal.SIGTERM)  # as an engine does; buildah's run, made for recipes, passes nothing on
            assert launcher.process is not None
            assert launcher.process.wait(PATIENCE) == 0

    def test_the_builder_has_all_that_disk_image_create_calls(self, buildah: Buildah) -> None:
        container = buildah.container("builder")
        programs = "disk-image-create qemu-img mmdebstrap debootstrap extlinux mkfs.ext4 kpartx sudo git curl cpio"
        buildah("run", container, "--", "sh", "-ec", f"for each in {programs}; do command -v $each; done")
