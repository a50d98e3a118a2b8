"""Pixlake as it is measured: `pixlake up` with a local folder, on free ports, in a home of its own.

What differs from its defaults is in `SETTINGS`, with the reason.
"""

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.end_to_end.running import Pixlake

SETTINGS = {
    # One rendition of 320 pixels, as every yardstick makes.
    "PIXLAKE_DEFAULT_PRESET": "thumbnail",
    # A backlog's end is seen by its commit; a pause of a second would be most of the error.
    "PIXLAKE_KAFKA_COMMIT_INTERVAL_SECONDS": "0.2",
}
HOMES = Path(".bench") / "homes"
# Where stored images go. On a disk, ext4 searches for inodes that were not freed lately at each new
# file, and after the thousands that `forget_images` removes that took a quarter of all our time.
MEMORY = Path("/dev/shm")  # noqa: S108  a folder of our own in it
_ROOMY = 8 << 30
_REPLICA = "ray::ServeReplica"
_BROKER = "kafka.Kafka"


class Service(Pixlake):
    """One that runs, and what it takes of the machine."""

    @property
    def store(self) -> Path:
        """The folder of stored objects."""
        return Path(self.environment["PIXLAKE_STORE_URL"].removeprefix("file://"))

    @property
    def upload_url(self) -> str:
        """Where images are posted."""
        return f"{self.url}/v1/images"

    def cpu_seconds(self) -> float:
        """Of all its living processes but the broker, since they began."""
        return sum(_cpu_seconds(one) for one in self.parts() if _BROKER not in words_of(one))

    def broker_cpu_seconds(self) -> float:
        """Of the embedded broker, since it began."""
        return sum(_cpu_seconds(one) for one in self.processes(_BROKER))

    def cpu_by_process(self) -> list[tuple[str, float]]:
        """Command line, and processor seconds since it began, of every process."""
        return [(words_of(one), _cpu_seconds(one)) for one in self.parts()]

    def parts(self) -> list[psutil.Process]:
        """Every process of it, Ray's and the broker included."""
        return psutil.Process(self.pid).children(recursive=True)

    def workers(self) -> list[psutil.Process]:
        """Replicas, their fork servers and sandboxed children."""
        replicas = self.processes(_REPLICA)
        return [one for each in replicas for one in (each, *_below(each))]

    def decoders(self, replica: str) -> list[psutil.Process]:
        """The sandboxed children of a deployment's replicas, such as `UploadApi`."""
        servers = [one for each in self.processes(replica) for one in _below(each)]
        return [one for each in servers if "fork_server" in words_of(each) for one in _below(each)]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stopped while a yardstick runs, for idling it takes part of the machine; ready after."""
        everything = [psutil.Process(self.pid), *self.parts()]
        _signal(everything, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(everything, signal.SIGCONT)
        self.wait_ready()

    def forget_images(self, older_than_seconds: float = 0) -> None:
        """Make room: remove stored images; rows and journal stay. Not the service's business."""
        forget_images(self.store / "images", older_than_seconds)


@contextmanager
def running(**settings: str) -> Iterator[Service]:
    """A service that is ready; stopped, and its home removed, with the block."""
    HOMES.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(dir=HOMES.absolute()))
    store = _folder_in_memory() or home / "store"
    ours = {**SETTINGS, "PIXLAKE_STORE_URL": store.as_uri()}
    service = Service(home, **{**ours, **settings})
    try:
        service.start()
        yield service
    finally:
        service.end()
        for folder in (home, store, store.with_name(f"{store.name}.locks")):
            shutil.rmtree(folder, ignore_errors=True)


def _folder_in_memory() -> Path | None:
    """None where memory has no folder, or too small a one."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < _ROOMY:
        return None
    return Path(tempfile.mkdtemp(dir=MEMORY, prefix="pixlake-bench-"))


def forget_images(images: Path, older_than_seconds: float) -> None:
    """Remove the folders `<tenant>/<2 hex>/<image_id>` that were not touched for so long."""
    before = time.time() - older_than_seconds
    for folder in images.glob("*/*/*"):
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < before:
                # An upload whose client has gone may be writing into it.
                shutil.rmtree(folder, ignore_errors=True)


def _signal(processes: list[psutil.Process], number: int) -> None:
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(number)


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def words_of(process: psutil.Process) -> str:
    """Its command line; empty if it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    # With that of children that have ended: decoders are replaced after some thousand images.
    return times.user + times.system + times.children_user + times.children_system
