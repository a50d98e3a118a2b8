"""Public collections of odd, broken and hostile images: what two libraries test themselves with.

Their source distributions are fetched by pip from its registry, once a machine, by version and
hash, and only the images are unpacked. `python -m tests.servers.prepare` does so before the tests.
"""

import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pixlake_server.embedded.jars import cache_folder


@dataclass(frozen=True)
class Corpus:
    """One source distribution, and the folder of images in it."""

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
"""Some 1,000 files of all formats: bombs, fuzzers' finds, and every oddity of TIFF and BMP."""

PILLOW_HEIF = Corpus(
    "pillow-heif",
    "1.8.1",
    "521ebffb8a181d56c3904e5a61f20903edee0d9d3275967b8fb345f866215c06",
    "tests/images",
)
"""HEIC from phones and cameras, 8 to 12 bits, with and without alpha, bursts, and broken ones."""

CORPORA = (PILLOW, PILLOW_HEIF)


def folder_of(corpus: Corpus) -> Path:
    """The images, fetched first if this machine has none of this version."""
    folder = cache_folder() / f"corpus-{corpus.package}-{corpus.version}-{corpus.sha256[:8]}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".corpus-", dir=folder.parent) as scratch:
            archive = _downloaded(corpus, Path(scratch))
            _unpacked(archive, corpus.images, Path(scratch)).rename(folder)
    return folder


def files_of(corpus: Corpus) -> dict[str, bytes]:
    """By path within the folder of images."""
    folder = folder_of(corpus)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _downloaded(corpus: Corpus, scratch: Path) -> Path:
    wanted = scratch / "wanted.txt"
    wanted.write_text(f"{corpus.package}=={corpus.version} --hash=sha256:{corpus.sha256}\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
    only_source = ["--no-deps", "--no-binary", corpus.package, "--require-hashes"]
    subprocess.run([*pip, *only_source, "-d", scratch, "-r", wanted], check=True)
    return next(scratch.glob("*.tar.gz"))


def _unpacked(archive: Path, images: str, scratch: Path) -> Path:
    """The files below `images`, alone; `extractall` has no filter in Python 3.11.2."""
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
