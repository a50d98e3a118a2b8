"""An upload on the wire: the image as the raw body, what is said of it in headers."""

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
"""an image: where it is, its bytes, or an open file"""

_CHUNK = 64 * 1024
# Percent-encoded UTF-8 is how values travel; what is plain ASCII stays readable on the way.
_SAFE = "!#$&'()*+,/:;<=>?@[]^`{|}~"
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class ImageBody:
    """The bytes of one try, hashed as they leave; a file is never held in memory as a whole."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self._file = file
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        """As many bytes as were announced; raises FileChanged where there are more or fewer."""
        left = self.size
        while left and (chunk := self._file.read(min(_CHUNK, left))):
            left -= len(chunk)
            self._digest.update(chunk)
            yield chunk
        if left or self._file.read(1):
            raise FileChanged("the file changed while it was sent")

    def sha256(self) -> str:
        """Hash of what was sent, hex; whole once the server answered that it took it."""
        return self._digest.hexdigest()


def source_of(given: Source) -> Path | bytes:
    """What can be sent more than once; an open file is read whole. Raises TypeError."""
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
    """The body of a new try, from its first byte. Raises NotAFile, OSError."""
    if isinstance(source, bytes):
        yield ImageBody(io.BytesIO(source), len(source))
        return
    with open_regular(source) as file:
        yield ImageBody(file, os.fstat(file.fileno()).st_size)


def headers(
    filename: str | None, metadata: Mapping[str, str], idempotency_key: str | None
) -> dict[str, str]:
    """Headers of an upload; header names have no case, so metadata names become lower case.

    Raises ValueError for what no header can carry.
    """
    made = {"Content-Type": "application/octet-stream"}
    if filename is not None:
        # RFC 6266: names in any script, and no quoting to get wrong. A name that is not UTF-8
        # on disk is told with question marks.
        name = filename.encode("utf-8", "replace").decode("utf-8")
        made["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    if idempotency_key is not None:
        if not idempotency_key.isascii() or not idempotency_key.isprintable():
            raise ValueError("the idempotency key has characters that no header value has")
        made["Idempotency-Key"] = idempotency_key
    for name, value in metadata.items():
        header = f"X-Pixlake-Meta-{name.lower()}"
        if not _TOKEN.fullmatch(name) or header in made:
            raise ValueError(f"metadata name {name!r} can't be a header, or comes twice")
        made[header] = quote(value, safe=_SAFE)
    return made
