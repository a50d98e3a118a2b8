"""Checksums of a request body: known checksum headers are verified, unknown ones are refused.

A decoder does not notice every damage in a JPEG, so to ignore a checksum could store a broken
image. A checksum of the request covers the body as sent; for multipart that is the whole form. A
checksum header of a part covers that part.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import http_sf
from awscrt import checksums as crc
from starlette.datastructures import Headers

from processors.nearest import did_you_mean
from serve_app.errors import ChecksumMismatch, InvalidChecksum


class _Sum(Protocol):
    """Running checksum with the interface of hashlib."""

    @property
    def digest_size(self) -> int: ...
    def update(self, data: bytes | memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc:
    """Running CRC; its digest is big-endian, as in S3."""

    def __init__(self, step: Callable[[bytes, int], int], size: int) -> None:
        self.digest_size = size
        self._step = step
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        """Add the next piece of the body."""
        self._value = self._step(bytes(data), self._value)

    def digest(self) -> bytes:
        """Return the CRC of all added pieces."""
        return self._value.to_bytes(self.digest_size, "big")


_Make = Callable[[], _Sum]


def _md5() -> _Sum:
    # The client chooses MD5 to detect accidental damage; nothing is signed with MD5.
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> _Sum:
    return hashlib.sha1(usedforsecurity=False)


def _crc32() -> _Sum:
    return _Crc(crc.crc32, 4)


def _crc32c() -> _Sum:
    return _Crc(crc.crc32c, 4)


def _crc64nvme() -> _Sum:
    return _Crc(crc.crc64nvme, 8)


# Headers with one base64 value: RFC 1864, and the checksums of the S3 API that AWS's SDKs send.
_BASE64: Mapping[str, _Make] = {
    "content-md5": _md5,
    "x-amz-checksum-crc32": _crc32,
    "x-amz-checksum-crc32c": _crc32c,
    "x-amz-checksum-crc64nvme": _crc64nvme,
    "x-amz-checksum-sha1": _sha1,
    "x-amz-checksum-sha256": hashlib.sha256,
    "x-amz-checksum-sha512": hashlib.sha512,
}
# Header of AWS Signature Version 4: a hex value, or the text `_UNSIGNED` for an unsigned body.
_PAYLOAD_HASH = "x-amz-content-sha256"
_UNSIGNED = "UNSIGNED-PAYLOAD"
# RFC 9530: structured dictionaries of byte sequences. Content codings are refused, so the content
# of a request is its representation, and both headers mean the same bytes.
_DICTIONARIES = ("content-digest", "repr-digest")
# RFC 3230, which RFC 9530 replaced: `Digest: SHA-256=<base64>,MD5=<base64>`.
_LIST = "digest"
_ALGORITHMS: Mapping[str, _Make] = {
    "md5": _md5,
    "sha": _sha1,
    "sha-256": hashlib.sha256,
    "sha-512": hashlib.sha512,
}
_KNOWN = frozenset({*_BASE64, _PAYLOAD_HASH, *_DICTIONARIES, _LIST})

# Header names that look like a checksum; such a header is refused if it is unknown.
_CHECKSUM_NAME = re.compile(
    r"(?:^|-)(?:checksum|digest|md5|sha-?1|sha-?256|sha-?512|crc32c?|crc64|crc64nvme|xxhash\d*)(?:-|$)"
    r"|^x-goog-hash$"
)
# Header names that match `_CHECKSUM_NAME` and are no checksum: preferences and metadata of clients.
_NO_CHECKSUM = re.compile(
    r"want-.*|x-pixlake-.*|x-amz-meta-.*|x-amz-(?:sdk-)?checksum-(?:algorithm|mode|type)"
)
_TRAILERS = ("trailer", "x-amz-trailer")


@dataclass(frozen=True, slots=True)
class _Expected:
    """Announced checksum, and the running checksum of the body."""

    header: str
    digest: bytes
    running: _Sum


class Checksums:
    """Announced checksums of one body; call `update` with each piece of it."""

    def __init__(self, expected: list[_Expected]) -> None:
        self._expected = expected

    @classmethod
    def announced(cls, headers: Headers) -> Self:
        """Parse the checksum headers; raises InvalidChecksum."""
        _refuse_unknown(headers)
        return cls([*_plain(headers), *_payload_hash(headers), *_members(headers)])

    @property
    def headers(self) -> list[str]:
        """Names of the headers that announce a checksum."""
        return [each.header for each in self._expected]

    def update(self, chunk: bytes | memoryview) -> None:
        """Add the next piece of the body."""
        for each in self._expected:
            each.running.update(chunk)

    def verify(self) -> None:
        """Raise ChecksumMismatch if the body does not match a checksum."""
        for each in self._expected:
            arrived = each.running.digest()
            if not hmac.compare_digest(each.digest, arrived):
                raise ChecksumMismatch(
                    f"the body does not match {each.header}",
                    value=base64.b64encode(arrived).decode(),
                )


def _refuse_unknown(headers: Headers) -> None:
    # dict.fromkeys keeps the order and removes duplicates.
    for name in dict.fromkeys(headers.keys()):
        if _is_checksum(name) and name not in _KNOWN:
            hint = did_you_mean(name, _KNOWN)
            raise InvalidChecksum(f"the checksum {name} is not supported{hint}", value=name)
    for field in _TRAILERS:
        for name in ",".join(headers.getlist(field)).lower().split(","):
            if _is_checksum(name.strip()):
                raise InvalidChecksum(
                    f"the checksum {name.strip()} is announced as a trailer; send it as a header",
                    value=name.strip(),
                )


def _is_checksum(name: str) -> bool:
    return bool(_CHECKSUM_NAME.search(name)) and not _NO_CHECKSUM.fullmatch(name)


def _plain(headers: Headers) -> Iterator[_Expected]:
    for name, make in _BASE64.items():
        for text in _single(headers, name):
            yield _expected(name, _from_base64(text), make)


def _payload_hash(headers: Headers) -> Iterator[_Expected]:
    for text in _single(headers, _PAYLOAD_HASH):
        if text != _UNSIGNED:
            yield _expected(_PAYLOAD_HASH, _from_hex(text), hashlib.sha256)


def _single(headers: Headers, name: str) -> list[str]:
    sent = headers.getlist(name)
    if len(sent) > 1:
        raise InvalidChecksum(f"{name} is repeated", value=name)
    return sent


def _members(headers: Headers) -> Iterator[_Expected]:
    for name in _DICTIONARIES:
        if sent := headers.getlist(name):
            yield from _known_members(name, _dictionary(name, ", ".join(sent)))
    if sent := headers.getlist(_LIST):
        yield from _known_members(_LIST, _instances(",".join(sent)))


def _known_members(name: str, members: Mapping[str, bytes]) -> list[_Expected]:
    """Select the members with a supported algorithm; raises InvalidChecksum if there is none.

    Other members are ignored, as RFC 9530 allows.
    """
    known = [
        _expected(name, digest, _ALGORITHMS[algorithm])
        for algorithm, digest in members.items()
        if algorithm in _ALGORITHMS
    ]
    if not known:
        raise InvalidChecksum(f"{name} has no supported algorithm", value=name)
    return known


def _dictionary(name: str, field: str) -> dict[str, bytes]:
    """Parse an RFC 9651 dictionary; ignores parameters of its members."""
    try:
        parsed = http_sf.parse(field.encode("latin-1"), tltype="dictionary")
    except (http_sf.StructuredFieldError, UnicodeEncodeError):
        raise InvalidChecksum(f"{name} does not parse", value=name) from None
    members = parsed if isinstance(parsed, dict) else {}
    return {key: _bytes(item) for key, item in members.items()}


def _bytes(item: object) -> bytes:
    """Return the bytes of a member; empty for another type, which then fails the length check."""
    value = item[0] if isinstance(item, tuple) else None
    return value if isinstance(value, bytes) else b""


def _instances(field: str) -> dict[str, bytes]:
    """Parse an RFC 3230 Digest field; algorithm names are case-insensitive."""
    found: dict[str, bytes] = {}
    for instance in field.split(","):
        algorithm, equals, value = instance.strip().partition("=")
        if not equals or algorithm.lower() in found:
            raise InvalidChecksum("digest does not parse", value=_LIST)
        found[algorithm.lower()] = _from_base64(value)
    return found


def _expected(name: str, digest: bytes, make: _Make) -> _Expected:
    running = make()
    if len(digest) != running.digest_size:
        raise InvalidChecksum(f"{name} has a wrong encoding or length", value=name)
    return _Expected(name, digest, running)


def _from_base64(text: str) -> bytes:
    """Decode base64; returns no bytes for invalid text."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
