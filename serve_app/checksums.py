"""Checksums that a client sends of its body; damage within a JPEG is invisible to a decoder.

Content-MD5 (RFC 1864), x-amz-checksum-sha256 and Content-Digest (RFC 9530); each is of the request
body as sent, so of the whole form in a multipart request.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from starlette.datastructures import Headers

from serve_app.errors import ChecksumMismatch, InvalidChecksum

if TYPE_CHECKING:  # a name of typeshed's, not of the interpreter's
    from hashlib import _Hash

# RFC 9530: a dictionary of byte sequences; unknown algorithms are to be ignored.
_DIGEST_MEMBER = re.compile(r"\s*([a-z0-9-]+)=:([A-Za-z0-9+/=]*):\s*(?:,|$)")


def _md5() -> "_Hash":
    # A checksum against accidents, as the client chose it; not a signature.
    return hashlib.md5(usedforsecurity=False)


_PLAIN: dict[str, Callable[[], "_Hash"]] = {
    "content-md5": _md5,
    "x-amz-checksum-sha256": hashlib.sha256,
}
_MEMBERS: dict[str, Callable[[], "_Hash"]] = {
    "sha-256": hashlib.sha256,
    "sha-512": hashlib.sha512,
}


class Checksums:
    """The sums that were announced, fed with the body as it arrives."""

    def __init__(self, expected: list[tuple[str, bytes, "_Hash"]]) -> None:
        self._expected = expected

    @classmethod
    def announced(cls, headers: Headers) -> Self:
        """What the headers promise; raises InvalidChecksum."""
        expected = [
            (name, _decoded(name, headers[name], make), make())
            for name, make in _PLAIN.items()
            if name in headers
        ]
        for field in headers.getlist("content-digest"):
            expected += _members(field)
        return cls(expected)

    def update(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        for _, _, running in self._expected:
            running.update(chunk)

    def verify(self) -> None:
        """Raise ChecksumMismatch if the body was another."""
        for name, digest, running in self._expected:
            if not hmac.compare_digest(digest, running.digest()):
                arrived = base64.b64encode(running.digest()).decode()
                raise ChecksumMismatch(f"the body does not match {name}", value=arrived)


def _members(field: str) -> list[tuple[str, bytes, "_Hash"]]:
    found = []
    end = 0
    while end < len(field):
        match = _DIGEST_MEMBER.match(field, end)
        if match is None:
            raise InvalidChecksum("Content-Digest does not parse", value="content-digest")
        make = _MEMBERS.get(match[1])
        if make is not None:
            found.append(("content-digest", _decoded("content-digest", match[2], make), make()))
        end = match.end()
    return found


def _decoded(name: str, text: str, make: Callable[[], "_Hash"]) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != make().digest_size:
        raise InvalidChecksum(f"{name} is not the base64 of such a checksum", value=name)
    return digest
