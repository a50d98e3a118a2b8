"""Checksums of a request body: each one that a client sends is verified, or refused by its name.

A decoder does not see damage within a JPEG, so a checksum that is silently ignored loses an image.
Every checksum is of the body as sent: of the whole form in a multipart request.
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

from serve_app.errors import ChecksumMismatch, InvalidChecksum


class _Sum(Protocol):
    """A running checksum, in the shape of hashlib's."""

    @property
    def digest_size(self) -> int: ...
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc:
    """A running CRC; its digest is big-endian, as S3 writes it."""

    def __init__(self, step: Callable[[bytes, int], int], size: int) -> None:
        self.digest_size = size
        self._step = step
        self._value = 0

    def update(self, data: bytes, /) -> None:
        """Take the next piece of the body."""
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        """The CRC of all pieces so far."""
        return self._value.to_bytes(self.digest_size, "big")


_Make = Callable[[], _Sum]


def _md5() -> _Sum:
    # A checksum against accidents, as the client chose it; not a signature.
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> _Sum:
    return hashlib.sha1(usedforsecurity=False)


def _crc32() -> _Sum:
    return _Crc(crc.crc32, 4)


def _crc32c() -> _Sum:
    return _Crc(crc.crc32c, 4)


def _crc64nvme() -> _Sum:
    return _Crc(crc.crc64nvme, 8)


# One base64 value a header. RFC 1864, and the checksums of the S3 API that AWS's SDKs send.
_BASE64: Mapping[str, _Make] = {
    "content-md5": _md5,
    "x-amz-checksum-crc32": _crc32,
    "x-amz-checksum-crc32c": _crc32c,
    "x-amz-checksum-crc64nvme": _crc64nvme,
    "x-amz-checksum-sha1": _sha1,
    "x-amz-checksum-sha256": hashlib.sha256,
    "x-amz-checksum-sha512": hashlib.sha512,
}
# One value in hex. Signature version 4 of AWS; a client that signs no body says so.
_PAYLOAD_HASH = "x-amz-content-sha256"
_UNSIGNED = "UNSIGNED-PAYLOAD"
# RFC 9530: structured dictionaries of byte sequences. No content coding is taken, so the content
# of a request is its representation.
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

# Names of headers that carry a checksum of some service; the ones not known are refused.
_CHECKSUM_NAME = re.compile(
    r"(?:^|-)(?:checksum|digest|md5|sha-?1|sha-?256|sha-?512|crc32c?|crc64|crc64nvme|xxhash\d*)(?:-|$)"
    r"|^x-goog-hash$"
)
# Headers with such a name that are no checksum: what the client wants, or labels of its own.
_NO_CHECKSUM = re.compile(
    r"want-.*|x-pixlake-.*|x-amz-meta-.*|x-amz-(?:sdk-)?checksum-(?:algorithm|mode|type)"
)
_TRAILERS = ("trailer", "x-amz-trailer")


@dataclass(frozen=True, slots=True)
class _Expected:
    """One announced checksum and the running one beside it."""

    header: str
    digest: bytes
    running: _Sum


class Checksums:
    """The announced checksums of one body; `update` takes the body as it arrives."""

    def __init__(self, expected: list[_Expected]) -> None:
        self._expected = expected

    @classmethod
    def announced(cls, headers: Headers) -> Self:
        """The checksums in the headers; raises InvalidChecksum."""
        _refuse_unknown(headers)
        return cls([*_plain(headers), *_payload_hash(headers), *_members(headers)])

    def update(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        for each in self._expected:
            each.running.update(chunk)

    def verify(self) -> None:
        """Raise ChecksumMismatch if the body is not the announced one."""
        for each in self._expected:
            arrived = each.running.digest()
            if not hmac.compare_digest(each.digest, arrived):
                raise ChecksumMismatch(
                    f"the body does not match {each.header}",
                    value=base64.b64encode(arrived).decode(),
                )


def _refuse_unknown(headers: Headers) -> None:
    # dict: in the order sent, each name once.
    for name in dict.fromkeys(headers.keys()):
        if _is_checksum(name) and name not in _KNOWN:
            raise InvalidChecksum(f"the checksum {name} is not known here", value=name)
    for field in _TRAILERS:
        for name in ",".join(headers.getlist(field)).lower().split(","):
            if _is_checksum(name.strip()):
                raise InvalidChecksum(
                    f"the checksum {name.strip()} is announced as a trailer; send a header",
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
        raise InvalidChecksum(f"{name} comes twice", value=name)
    return sent


def _members(headers: Headers) -> Iterator[_Expected]:
    for name in _DICTIONARIES:
        if sent := headers.getlist(name):
            yield from _known_members(name, _dictionary(name, ", ".join(sent)))
    if sent := headers.getlist(_LIST):
        yield from _known_members(_LIST, _instances(",".join(sent)))


def _known_members(name: str, members: Mapping[str, bytes]) -> list[_Expected]:
    """The members with a known algorithm.

    RFC 9530 lets a recipient ignore the others, but one of them has to be verified.
    """
    known = [
        _expected(name, digest, _ALGORITHMS[algorithm])
        for algorithm, digest in members.items()
        if algorithm in _ALGORITHMS
    ]
    if not known:
        raise InvalidChecksum(f"{name} has no algorithm that is known here", value=name)
    return known


def _dictionary(name: str, field: str) -> dict[str, bytes]:
    """Members of an RFC 9651 dictionary, without their parameters."""
    try:
        parsed = http_sf.parse(field.encode("latin-1"), tltype="dictionary")
    except (http_sf.StructuredFieldError, UnicodeEncodeError):
        raise InvalidChecksum(f"{name} does not parse", value=name) from None
    members = parsed if isinstance(parsed, dict) else {}
    return {key: _bytes(item) for key, item in members.items()}


def _bytes(item: object) -> bytes:
    """The bytes of a member; none if it is of another type, which no checksum is."""
    value = item[0] if isinstance(item, tuple) else None
    return value if isinstance(value, bytes) else b""


def _instances(field: str) -> dict[str, bytes]:
    """Members of an RFC 3230 Digest field; algorithms are case-insensitive there."""
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
        raise InvalidChecksum(f"{name} is not the encoding of such a checksum", value=name)
    return _Expected(name, digest, running)


def _from_base64(text: str) -> bytes:
    """The decoded bytes; none at all if the text is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
