"""Jars of Apache Kafka: download by a lock file, check by SHA-256, and cache.

`kafka-jars.lock` in this folder names each jar by Maven coordinates and SHA-256, so no start
resolves versions. The first start downloads and checks exactly these files, and caches them for
every Pixlake of this user. `python -m tests.servers.lock_kafka_jars` writes a new lock.
"""

import hashlib
import os
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jgo.maven import MavenContext

from pixlake_server.embedded.errors import JarsUnavailable

_LOCK = Path(__file__).with_name("kafka-jars.lock")
# The jars are small files of one host; eight parallel downloads hide the round trips at a low load.
_PARALLEL_DOWNLOADS = 8
_DOWNLOAD_TIMEOUT_SECONDS = 60
_AUTHORITIES = "REQUESTS_CA_BUNDLE"


@dataclass(frozen=True)
class Jar:
    """Maven coordinates and SHA-256 of one jar, from the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        """Path of the jar in a folder with the layout of a Maven repository."""
        folder = Path(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"


Download = Callable[[list[Jar], Path], None]


def locked_jars() -> list[Jar]:
    """Read the jars from the lock, in the order of the lock."""
    jars = []
    for line in _LOCK.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            coordinates, digest = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, digest.removeprefix("sha256:")))
    return jars


def cache_folder() -> Path:
    """Folder of files that Pixlake can always download again."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "pixlake"


def kafka_jars(download: Download | None = None) -> list[Path]:
    """Return the paths of the locked jars; downloads the jars if they are not cached.

    Raises JarsUnavailable. Several processes may call this at once: each process downloads into its
    own folder, and the first process that is complete renames its folder to the final name.
    """
    jars = locked_jars()
    version = next(jar.version for jar in jars if jar.artifact == "kafka_2.13")
    # The folder's name contains the lock's digest, so a changed lock never uses an old lock's jars.
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
            if not home.is_dir():  # otherwise another process has stored the same files
                raise


def _download_from_maven_repository(jars: list[Jar], into: Path) -> None:
    context = MavenContext(repo_cache=into, timeout=_DOWNLOAD_TIMEOUT_SECONDS)

    def fetch(jar: Jar) -> None:
        project = context.project(jar.group, jar.artifact)
        project.at_version(jar.version).artifact().resolve()

    try:
        with _system_authorities(), ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            list(pool.map(fetch, jars))
    except (OSError, RuntimeError) as error:
        raise JarsUnavailable(f"could not download the jars of Apache Kafka: {error}") from error


@contextmanager
def _system_authorities() -> Iterator[None]:
    """Make requests trust the authorities of this machine, as other programs on it do.

    The proxy of a company signs with an authority that only the machine's own list has; without
    this, requests trusts the list of the package certifi. A variable of the user counts first.
    """
    chosen = any(os.environ.get(name) for name in (_AUTHORITIES, "CURL_CA_BUNDLE"))
    file = ssl.get_default_verify_paths().cafile
    if chosen or file is None:
        yield
        return
    os.environ[_AUTHORITIES] = file
    try:
        yield
    finally:
        del os.environ[_AUTHORITIES]
