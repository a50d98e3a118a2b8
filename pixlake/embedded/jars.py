"""The jars of Apache Kafka: which ones, where they are kept, how they are had.

`kafka-jars.lock` beside this file names each jar by Maven coordinates and SHA-256, so a start
resolves nothing: it downloads exactly those files once, checks them, and keeps them for every
Pixlake of this user. `python -m tests.servers.lock_kafka_jars` writes the lock anew.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from jgo.maven import MavenContext

from pixlake.embedded.errors import JarsUnavailable

_LOCK = Path(__file__).with_name("kafka-jars.lock")
# Small files from one host: eight at a time hides the round trips without being rude.
_PARALLEL_DOWNLOADS = 8
_DOWNLOAD_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Jar:
    """One jar as the lock names it."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where a folder laid out as a Maven repository holds it."""
        folder = Path(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"


Download = Callable[[list[Jar], Path], None]


def locked_jars() -> list[Jar]:
    """Read the lock, in its order."""
    jars = []
    for line in _LOCK.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            coordinates, digest = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, digest.removeprefix("sha256:")))
    return jars


def cache_folder() -> Path:
    """Where Pixlake keeps what it can always download again."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "pixlake"


def kafka_jars(download: Download | None = None) -> list[Path]:
    """Find the locked jars on this disk, downloaded first if they are not there yet.

    Raises JarsUnavailable. Safe to call from several processes at once: each downloads to a
    folder of its own, and the first to finish renames it into place.
    """
    jars = locked_jars()
    version = next(jar.version for jar in jars if jar.artifact == "kafka_2.13")
    # The lock's digest in the name: a changed lock never meets jars of the one before.
    digest = hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:8]
    home = cache_folder() / f"kafka-{version}-{digest}"
    if not home.is_dir():
        _download_into(home, jars, download or _download_from_maven_repository)
    return [home / jar.path for jar in jars]


def _download_into(home: Path, jars: list[Jar], download: Download) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{home.name}-", dir=home.parent) as scratch:
        download(jars, Path(scratch))
        partial = Path(scratch, "checked")
        for jar in jars:
            source, target = Path(scratch, jar.path), partial / jar.path
            if not source.is_file():
                raise JarsUnavailable(f"{jar.artifact} {jar.version} was not downloaded")
            found = hashlib.sha256(source.read_bytes()).hexdigest()
            if found != jar.sha256:
                raise JarsUnavailable(
                    f"{source.name}: SHA-256 is {found}, the lock says {jar.sha256}"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
        try:
            partial.rename(home)
        except OSError:
            if not home.is_dir():  # else another process was faster, with the same files
                raise


def _download_from_maven_repository(jars: list[Jar], into: Path) -> None:
    context = MavenContext(repo_cache=into, timeout=_DOWNLOAD_TIMEOUT_SECONDS)

    def fetch(jar: Jar) -> None:
        project = context.project(jar.group, jar.artifact)
        project.at_version(jar.version).artifact().resolve()

    try:
        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            list(pool.map(fetch, jars))
    except (OSError, RuntimeError) as error:
        raise JarsUnavailable(f"could not download the jars of Apache Kafka: {error}") from error
