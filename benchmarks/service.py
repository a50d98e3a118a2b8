"""The measured Pixlake: `pixlake up` with a local folder, on free ports, in a temporary home.

`SETTINGS` has the settings that differ from the defaults, with the reason.
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
    # A single rendition of 320 pixels, as the compared servers make.
    "PIXLAKE_DEFAULT_PRESET": "thumbnail",
    # The commit shows the end of a backlog; a commit interval of a second would be the main error.
    "PIXLAKE_KAFKA_COMMIT_INTERVAL_SECONDS": "0.2",
}
HOMES = Path(".bench") / "homes"
# Folder of stored images. On a disk, ext4 searches for inodes that were not freed lately at each
# new file. After `forget_images` had removed thousands, that took a quarter of Pixlake's time.
MEMORY = Path("/dev/shm")  # noqa: S108  a folder of our own in it
_ROOMY = 8 << 30
_REPLICA = "ray::ServeReplica"
_BROKER = "kafka.Kafka"


class Service(Pixlake):
    """Running service, with its processes, processor time and memory."""

    @property
    def store(self) -> Path:
        """Folder of stored objects."""
        return Path(self.environment["PIXLAKE_STORE_URL"].removeprefix("file://"))

    @property
    def upload_url(self) -> str:
        """URL to which images are posted."""
        return f"{self.url}/v1/images"

    def cpu_seconds(self) -> float:
        """Processor seconds of all living processes except the broker, since their start."""
        return sum(_cpu_seconds(part) for part in self.parts() if _BROKER not in words_of(part))

    def broker_cpu_seconds(self) -> float:
        """Processor seconds of the embedded broker since its start."""
        return sum(_cpu_seconds(broker) for broker in self.processes(_BROKER))

    def cpu_by_process(self) -> list[tuple[str, float]]:
        """Command line of every process, and processor seconds since its start."""
        return [(words_of(part), _cpu_seconds(part)) for part in self.parts()]

    def parts(self) -> list[psutil.Process]:
        """Every process of the service, including Ray's and the broker."""
        return psutil.Process(self.pid).children(recursive=True)

    def workers(self) -> list[psutil.Process]:
        """Replicas, their fork servers and sandboxed children."""
        replicas = self.processes(_REPLICA)
        return [process for replica in replicas for process in (replica, *_below(replica))]

    def decoders(self, replica: str) -> list[psutil.Process]:
        """Sandboxed children of a deployment's replicas, for example of `UploadApi`."""
        below = [process for parent in self.processes(replica) for process in _below(parent)]
        servers = [process for process in below if "fork_server" in words_of(process)]
        return [child for server in servers for child in _below(server)]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all processes within the block, because an idle service uses processor time, too."""
        everything = [psutil.Process(self.pid), *self.parts()]
        _signal(everything, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(everything, signal.SIGCONT)
        self.wait_ready()

    def forget_images(self, older_than_seconds: float = 0) -> None:
        """Delete stored images directly, to free space; rows and journal stay."""
        forget_images(self.store / "images", older_than_seconds)


@contextmanager
def running(**settings: str) -> Iterator[Service]:
    """Start a service; yields it once it is ready, then stops it and deletes its home."""
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
    """Create a folder in memory; None if the machine has none or it is too small."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < _ROOMY:
        return None
    return Path(tempfile.mkdtemp(dir=MEMORY, prefix="pixlake-bench-"))


def forget_images(images: Path, older_than_seconds: float) -> None:
    """Delete the folders `<tenant>/<2 hex>/<image_id>` that are older."""
    before = time.time() - older_than_seconds
    for folder in images.glob("*/*/*"):
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < before:
                # An upload whose client has disconnected may still write into the folder.
                shutil.rmtree(folder, ignore_errors=True)


def _signal(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def words_of(process: psutil.Process) -> str:
    """Command line of a process; empty if the process has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    # Include ended children, because decoders are replaced after some thousand images.
    return times.user + times.system + times.children_user + times.children_system
