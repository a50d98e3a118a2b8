"""A task of ECS on this machine: a process tree that runs as the task definition says.

The variables come from the synthesized template, so that a variable that is missing there is
missing here, too. As in a container, the processes have another user without privileges, a
read-only root, one folder to write to, and their own process ids, /dev/shm and network. The code
comes from this checkout, not from an image.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.rehearsal.network import Network

ROOT = Path(__file__).resolve().parents[2]
_USER = "10001"
_SCRATCH = "700m"
# Does what `docker run` does: mounts, then gives up root for good.
_ENTER = f"""
set -e
mount -t tmpfs -o size={_SCRATCH},uid={_USER},gid={_USER},mode=700 tmpfs /mnt
mount -t tmpfs -o size=1g,mode=1777 tmpfs /dev/shm
# Root's folder is hidden; a Python that lies in it is not.
mount --bind "$REHEARSAL_PYTHON" /srv
mount -t tmpfs -o size=16m,mode=755 tmpfs /root
mkdir -p "$REHEARSAL_PYTHON"
mount --bind /srv "$REHEARSAL_PYTHON"
mount -o remount,ro /root
mount -o remount,bind,ro /
exec setpriv --reuid={_USER} --regid={_USER} --clear-groups --no-new-privs --inh-caps=-all \\
    --bounding-set=-all "$@"
"""


@dataclass(frozen=True, slots=True)
class Definition:
    """Command, variables and stop timeout of a task definition's container."""

    command: list[str]
    variables: dict[str, str]
    stop_seconds: int

    @classmethod
    def read(cls, template: Path, kind: str, known: Mapping[str, str]) -> "Definition":
        """Read a synthesized template; `known` has the secrets and the values that only AWS knows.

        Raises KeyError for a variable without a value in either.
        """
        resources: dict[str, Any] = json.loads(template.read_text())["Resources"]
        [container] = [
            resource["Properties"]["ContainerDefinitions"][0]
            for resource in resources.values()
            if resource["Type"] == "AWS::ECS::TaskDefinition"
            and resource["Properties"]["ContainerDefinitions"][0]["Name"] == kind
        ]
        plain = {
            one["Name"]: one["Value"]
            for one in container["Environment"]
            if isinstance(one["Value"], str) and one["Name"] not in known
        }
        computed = [one["Name"] for one in container["Environment"] if one["Name"] not in plain] + [
            one["Name"] for one in container["Secrets"]
        ]
        return cls(
            container["Command"],
            plain | {name: known[name] for name in computed},
            container["StopTimeout"],
        )


class Task:
    """One task; `start` may be called once."""

    def __init__(self, network: Network, host: str, definition: Definition, folder: Path) -> None:
        self.host, self._network, self._definition = host, network, definition
        self.log = folder / f"{host}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the processes; return before the node has joined the cluster."""
        variables = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'deploy' / 'ecs' / 'image'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LANG": "C.UTF-8",
            **self._definition.variables,
            "NODE_SCRATCH": "/mnt",
            "REHEARSAL_PYTHON": sys.base_prefix,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._network.command(self.host),
                    *("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"),
                    *("--propagation", "private", "sh", "-c", _ENTER, "enter"),
                    *(sys.executable, "-m", "node", *self._definition.command),
                ],
                env=variables,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> tuple[bool, float]:
        """Stop as ECS does: SIGTERM, and SIGKILL after the stop timeout.

        Returns whether the task ended without SIGKILL, and the seconds.
        """
        assert self._process is not None
        began = time.monotonic()
        self._first().send_signal(signal.SIGTERM)
        try:
            self._process.wait(self._definition.stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return False, time.monotonic() - began
        return True, time.monotonic() - began

    def kill(self) -> None:
        """Kill all processes at once: the kernel ends a namespace with its first process."""
        if self._process is not None and self._process.poll() is None:
            self._first().kill()
            self._process.wait()

    @property
    def code(self) -> int | None:
        """Exit code of the task; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def tail(self, lines: int = 25) -> str:
        """Last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def end_decoders(self, how: signal.Signals) -> int:
        """Send a signal to the sandboxed children of all replicas; return their number."""
        decoders = [
            one
            for one in self._first().children(recursive=True)
            if "processors.sandbox.fork_server" in one.cmdline() and not one.children()
        ]
        for one in decoders:
            one.send_signal(how)
        return len(decoders)

    def find(self, title: str) -> psutil.Process:
        """Find the one process of the task whose command line contains a text."""
        [found] = self.found(title)
        return found

    def found(self, title: str) -> list[psutil.Process]:
        """Processes of the task whose command line contains a text."""
        matching = []
        for one in self._first().children(recursive=True):
            with suppress(psutil.Error):
                if title in " ".join(one.cmdline()):
                    matching.append(one)
        return matching

    @contextmanager
    def frozen(self, *processes: psutil.Process) -> Iterator[None]:
        """Stop some processes, or all of the task, during a `with`."""
        first = self._first()
        stopped = processes or (first, *first.children(recursive=True))
        for one in stopped:
            with suppress(psutil.Error):
                one.suspend()
        try:
            yield
        finally:
            for one in stopped:
                with suppress(psutil.Error):
                    one.resume()

    @contextmanager
    def full_scratch(self) -> Iterator[None]:
        """Fill the scratch folder during a `with`."""
        ballast = Path(f"/proc/{self._first().pid}/root/mnt/ballast")
        with ballast.open("wb") as file:
            free = os.statvfs(ballast).f_bavail * os.statvfs(ballast).f_frsize
            os.posix_fallocate(file.fileno(), 0, free)
        try:
            yield
        finally:
            ballast.unlink()

    def told(self, figure: str) -> float:
        """Sum of a CloudWatch metric over the lines of the log."""
        return float(sum(one.get(figure, 0) for one in self._figures()))

    def says(self, figure: str, kind: str) -> bool:
        """True if the log has a CloudWatch metric for this kind of node."""
        return any(figure in one and one.get("Kind") == kind for one in self._figures())

    def _figures(self) -> list[dict[str, Any]]:
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"_aws"')]

    def _first(self) -> psutil.Process:
        # `ip netns exec` becomes unshare, whose one child is the container's first process.
        assert self._process is not None
        [first] = psutil.Process(self._process.pid).children()
        return first
