"""Body and headers of an upload: the image as the raw body, its parameters as headers."""

import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from pixlake.client.errors import FileChanged
from pixlake.client.files import open_regular

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""an image: a path, its bytes, or an open file"""

_CHUNK = 64 * 1024
# Values are sent as percent-encoded UTF-8; most ASCII characters stay readable.
_SAFE = "!#$&'()*+,/:;<=>?@[]^`{|}~"
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class ImageBody:
    """Body of one try, hashed while it is sent; memory never contains a whole file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self._file = file
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the announced number of bytes; raises FileChanged for a longer or shorter file."""
        left = self.size
        while left and (chunk := self._file.read(min(_CHUNK, left))):
            left -= len(chunk)
            self._digest.update(chunk)
            yield chunk
        if left or self._file.read(1):
            raise FileChanged("the file changed while it was sent")

    def sha256(self) -> str:
        """SHA-256 of the sent bytes, hex; complete once the server has accepted the upload."""
        return self._digest.hexdigest()


def source_of(given: Source) -> Path | bytes:
    """Convert a source to a path or to bytes, for repeated tries. Raises TypeError."""
    if isinstance(given, str | os.PathLike):
        return Path(given)
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    read = given.read()
    if not isinstance(read, bytes):
        raise TypeError("a file to upload must be open in binary mode")
    return read


@contextmanager
def opened(source: Path | bytes) -> Iterator[ImageBody]:
    """Open a source for a new try, from its first byte. Raises NotAFile, OSError."""
    if isinstance(source, bytes):
        yield ImageBody(io.BytesIO(source), len(source))
        return
    with open_regular(source) as file:
        yield ImageBody(file, os.fstat(file.fileno()).st_size)


def headers(
    filename: str | None, metadata: Mapping[str, str], idempotency_key: str | None
) -> dict[str, str]:
    """Build the headers of an upload; metadata names become lower case.

    Raises ValueError for values that a header can't contain.
    """
    made = {"Content-Type": "application/octet-stream"}
    if filename is not None:
        # The extended form of RFC 6266 supports names in any script. Bytes of a name that are not
        # UTF-8 become question marks.
        name = filename.encode("utf-8", "replace").decode("utf-8")
        made["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    if idempotency_key is not None:
        if not idempotency_key.isascii() or not idempotency_key.isprintable():
            raise ValueError("the idempotency key has characters that a header can't contain")
        made["Idempotency-Key"] = idempotency_key
    for name, value in metadata.items():
        header = f"X-Pixlake-Meta-{name.lower()}"
        if not _TOKEN.fullmatch(name) or header in made:
            raise ValueError(f"metadata name {name!r} cannot be a header, or is repeated")
        made[header] = quote(value, safe=_SAFE)
    return made
