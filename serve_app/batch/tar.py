"""Streaming reader of tar archives (POSIX ustar and pax, GNU); no byte touches a disk.

The standard library's `tarfile` reads a stream only from a thread, and reads an extended header of
any announced size into memory. So this module follows the blocks by itself, with limits, and
leaves the fields of a header to `tarfile.TarInfo`.
"""

import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from lake.errors import CodedError
from serve_app.batch.errors import (
    CompressedArchive,
    InvalidName,
    MalformedArchive,
    SpecialFile,
    TruncatedArchive,
    UnsupportedEntry,
)
from serve_app.batch.item import END, Event, Item, checked_name, shown_name
from serve_app.errors import InvalidRequest
from serve_app.upload import metadata
from serve_app.upload.upload_request import checked_key

BLOCK: Final = 512
MAX_EXTENSION: Final = 1 << 20
"""Largest extended header, in bytes: macOS writes file attributes into it."""
_MAX_RECORDS = 1_000
# Folders and extended headers count here, too; a batch has at most 10,000 files.
_MAX_HEADERS = 100_000
# Blocks of zeros at the end: GNU tar fills up 20, with options some thousands.
_MAX_ZEROS = 4_096
_DIGITS = 20
_ZEROS = bytes(BLOCK)
_OURS = "PIXLAKE."
_PRESET, _METADATA, _KEY = "PIXLAKE.preset", "PIXLAKE.metadata", "PIXLAKE.idempotency-key"
_COMPRESSED: Final[Mapping[str, bytes]] = {
    "gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "xz": b"\xfd7zXZ\x00",
    "bzip2": b"BZh",
    "zip": b"PK\x03\x04",
}
_EXTENSIONS = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
_WITHOUT_DATA: Final[Mapping[bytes, str]] = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}
_FILES = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE})
_GNU_FLAG, _GNU_MORE_FLAG = 482, 504


@dataclass(slots=True)
class _Entry:
    """Entry whose bytes are read; `extension`: type of an extended header, else empty."""

    left: int
    extension: bytes = b""


class TarReader:
    """Reader of one archive: the events of `feed`, and `finish` at its end.

    Both raise MalformedArchive, TruncatedArchive, CompressedArchive.
    """

    def __init__(self) -> None:
        self._block = bytearray()
        self._entry: _Entry | None = None
        self._skip = 0
        self._extension = bytearray()
        self._long_name: bytes | None = None
        self._pax: dict[str, bytes] = {}
        self._waits = False
        """an extended header waits for its entry"""
        self._sparse_map = False
        self._began = False
        self._zeros = 0
        self._headers = 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Parse the next piece of the archive."""
        rest = memoryview(chunk)
        while rest:
            if self._entry is not None:
                piece, rest = rest[: self._entry.left], rest[self._entry.left :]
                self._entry.left -= len(piece)
                if not self._entry.extension:
                    yield piece
                else:
                    self._extension += piece
                if not self._entry.left:
                    yield from self._entry_ends(self._entry.extension)
            elif self._skip:
                skipped = min(self._skip, len(rest))
                self._skip -= skipped
                rest = rest[skipped:]
            else:
                missing = BLOCK - len(self._block)
                self._block += rest[:missing]
                rest = rest[missing:]
                if len(self._block) == BLOCK:
                    block = bytes(self._block)
                    self._block.clear()
                    yield from self._header(block)

    def finish(self) -> None:
        """Check that the archive is complete: it ends with a block of zeros."""
        if not self._began and self._block:
            self._refuse_compressed(bytes(self._block))
        if not self._zeros or self._entry is not None or self._skip or self._block:
            raise TruncatedArchive("the archive ends before its last block")

    def _header(self, block: bytes) -> Iterator[Event]:
        if self._sparse_map:
            self._sparse_map = bool(block[_GNU_MORE_FLAG])
            return
        if block == _ZEROS:
            if self._waits:
                raise MalformedArchive("an extended header has no entry")
            self._zeros += 1
            if self._zeros > _MAX_ZEROS:
                raise MalformedArchive("the archive goes on after its end", limit=_MAX_ZEROS)
            return
        if self._zeros:
            raise MalformedArchive("the archive goes on after its end")
        info = self._parsed(block)
        self._began = True
        self._headers += 1
        if self._headers > _MAX_HEADERS:
            raise MalformedArchive("the archive has too many headers", limit=_MAX_HEADERS)
        if info.type in _EXTENSIONS:
            self._extension_begins(info)
        else:
            yield from self._entry_begins(info, block)

    def _parsed(self, block: bytes) -> tarfile.TarInfo:
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError, OverflowError) as error:
            if not self._began:
                self._refuse_compressed(block)
            raise MalformedArchive(f"a header of the archive is damaged: {error}") from None
        if info.size < 0:
            raise MalformedArchive("an entry has a negative size", limit=0, value=info.size)
        return info

    def _refuse_compressed(self, begin: bytes) -> None:
        for name, magic in _COMPRESSED.items():
            if begin.startswith(magic):
                raise CompressedArchive(
                    f"the archive is compressed with {name}; send it as plain tar", value=name
                )

    def _extension_begins(self, info: tarfile.TarInfo) -> None:
        if info.size > MAX_EXTENSION:
            raise MalformedArchive(
                "an extended header is too long", limit=MAX_EXTENSION, value=info.size
            )
        if info.size:
            self._entry, self._skip = _Entry(info.size, info.type), -info.size % BLOCK
        self._waits = self._waits or info.type != tarfile.XGLTYPE

    def _entry_ends(self, extension: bytes) -> Iterator[Event]:
        self._entry = None
        if not extension:
            yield END
            return
        data = bytes(self._extension)
        self._extension.clear()
        if extension == tarfile.GNUTYPE_LONGNAME:
            self._long_name = data.removesuffix(b"\0")
        elif extension == tarfile.XGLTYPE:
            _refuse_global(_records(data))
        elif extension != tarfile.GNUTYPE_LONGLINK:
            self._pax |= _records(data)

    def _entry_begins(self, info: tarfile.TarInfo, block: bytes) -> Iterator[Event]:
        pax, long_name = self._pax, self._long_name
        self._pax, self._long_name, self._waits = {}, None, False
        name = pax.get("path", long_name)
        raw = info.name.encode("utf-8", "surrogateescape") if name is None else name
        size = _size(pax, info.size)
        if info.type == tarfile.GNUTYPE_SPARSE:
            self._sparse_map = bool(block[_GNU_FLAG])
        if info.type == tarfile.DIRTYPE:
            return
        if info.type in _WITHOUT_DATA:
            size = 0
        yield _item(raw, size, info.type, pax)
        if size:
            self._entry, self._skip = _Entry(size), -size % BLOCK
        else:
            yield END


def _item(raw: bytes, size: int, kind: bytes, pax: Mapping[str, bytes]) -> Item:
    """Build the item of an entry; an entry that can't be stored has its fault."""
    try:
        name = checked_name(raw)
    except InvalidName as fault:
        return Item(shown_name(raw), size, fault=fault)
    try:
        _check_kind(kind, pax)
        return _with_parameters(name, size, pax)
    except CodedError as fault:
        return Item(name, size, fault=fault)


def _check_kind(kind: bytes, pax: Mapping[str, bytes]) -> None:
    if kind in _WITHOUT_DATA:
        raise SpecialFile(f"the entry is {_WITHOUT_DATA[kind]}", value=kind.decode("latin-1"))
    if kind == tarfile.GNUTYPE_SPARSE or any(name.startswith("GNU.sparse.") for name in pax):
        raise UnsupportedEntry("the entry is a sparse file; create the archive without --sparse")
    if kind not in _FILES:
        raise UnsupportedEntry("the type of the entry is not supported", value=ascii(kind))


def _with_parameters(name: str, size: int, pax: Mapping[str, bytes]) -> Item:
    for keyword in pax:
        if keyword.startswith(_OURS) and keyword not in {_PRESET, _METADATA, _KEY}:
            raise InvalidRequest("the keyword of the pax header is unknown", value=keyword[:64])
    return Item(
        name,
        size,
        preset=_text(pax[_PRESET]) if _PRESET in pax else None,
        metadata=metadata.from_json(pax[_METADATA]) if _METADATA in pax else {},
        idempotency_key=checked_key(_text(pax[_KEY])) if _KEY in pax else None,
    )


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _size(pax: Mapping[str, bytes], size: int) -> int:
    if "size" not in pax:
        return size
    text = pax["size"]
    if not text.isdigit() or len(text) > _DIGITS:
        raise MalformedArchive("the size of an entry is not a number", value=_text(text)[:64])
    return int(text)


def _refuse_global(records: Mapping[str, bytes]) -> None:
    """Raise MalformedArchive for a global header that is more than a comment of the archive."""
    for name in records:
        if name in {"path", "size"} or name.startswith(("GNU.sparse.", _OURS)):
            raise MalformedArchive("a global header is for all entries", value=name[:64])


def _records(data: bytes) -> dict[str, bytes]:
    """Parse a pax header: records `LENGTH NAME=VALUE` and a line break (POSIX.1-2008, pax)."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + _DIGITS)
        digits = data[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        name, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(data) or not equals or data[end - 1 : end] != b"\n":
            raise MalformedArchive("a pax header does not parse")
        if len(found) == _MAX_RECORDS:
            raise MalformedArchive("a pax header has too many records", limit=_MAX_RECORDS)
        found[name.decode("utf-8", "replace")] = value
        at = end
    return found
