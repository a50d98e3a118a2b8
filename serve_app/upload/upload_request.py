"""Headers and query of an upload, checked before its body is read."""

import re
from dataclasses import dataclass
from typing import Self

import http_sf
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers

from processors.errors import TooManyBytes
from processors.nearest import unknown
from processors.preset import PresetName
from processors.untrusted_text import clean_filename
from serve_app.errors import (
    InvalidIdempotencyKey,
    InvalidRequest,
    MalformedMultipart,
    MissingBody,
    UnsupportedContentEncoding,
    UnsupportedMediaType,
)
from serve_app.problems import ACCEPTED
from serve_app.upload import filenames, metadata
from serve_app.upload.checksums import Checksums
from serve_app.upload.multipart import OVERHEAD_BYTES

MULTIPART = "multipart/form-data"
_OCTETS = "application/octet-stream"
# Default content type of S3 tools, with the same meaning as `_OCTETS`.
_S3_OCTETS = "binary/octet-stream"
_HOW = "send an image as the body, or as the part `file` of a form"
_OURS = b"x-pixlake-"
_NAMES = ("x-pixlake-filename", "x-pixlake-meta-<name>")
# x-pixlake-origin: secret by which CloudFront identifies itself to the load balancer (deploy/ecs).
_KNOWN = frozenset({b"x-pixlake-filename", b"x-pixlake-origin"})
# Longest idempotency key in characters: long enough for two UUIDs and a path, short enough to log.
_MAX_KEY = 255
_KEY = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """Checked headers and query of one upload."""

    boundary: bytes | None
    """boundary of a form; None for a raw body"""
    length: int | None
    """announced length of the body in bytes; None without one"""
    body_limit: int
    """largest body in bytes; a form may be a little larger than its image"""
    preset: PresetName | None
    idempotency_key: str | None
    filename: str | None
    metadata: dict[str, str]
    checksums: Checksums

    @classmethod
    def of(cls, headers: Headers, preset: str | None, max_bytes: int) -> Self:
        """Parse and check headers and query; raises ApiError, TooManyBytes, UnknownPreset."""
        refuse_encoded(headers)
        refuse_unknown(headers)
        length = length_of(headers)
        if length is None and "transfer-encoding" not in headers:
            raise MissingBody(_HOW)
        boundary = _boundary(headers)
        limit = max_bytes if boundary is None else max_bytes + OVERHEAD_BYTES
        if length is not None and length > limit:
            raise TooManyBytes("the body is too large", limit=max_bytes, value=length)
        return cls(
            boundary=boundary,
            length=length,
            body_limit=limit,
            preset=None if preset is None else PresetName.parse(preset),
            idempotency_key=key_of(headers),
            filename=_filename(headers),
            metadata=metadata.checked(metadata.from_headers(headers)),
            checksums=Checksums.announced(headers),
        )

    @property
    def least_bytes(self) -> int:
        """Smallest size of the image by the announced length, in bytes."""
        envelope = 0 if self.boundary is None else OVERHEAD_BYTES
        return max(0, (self.length or 0) - envelope)


def _once(headers: Headers, name: str) -> str | None:
    """Return the value of a header, or None; raises InvalidRequest for a repeated header."""
    sent = headers.getlist(name)
    if len(sent) > 1:
        raise InvalidRequest(f"the header {name} is repeated", limit=1, value=len(sent))
    return sent[0] if sent else None


def refuse_encoded(headers: Headers) -> None:
    """Raise UnsupportedContentEncoding for a body with a content coding such as gzip.

    Image formats are compressed already, so a content coding would save nothing.
    """
    sent = ", ".join(headers.getlist("content-encoding"))
    if sent.strip().lower() not in {"", "identity"}:
        raise UnsupportedContentEncoding("send the body without a content coding", value=sent)


def refuse_unknown(headers: Headers) -> None:
    """Refuse an unknown X-Pixlake header, which would otherwise be ignored without a word."""
    for raw, _ in headers.raw:
        if raw.startswith(_OURS) and raw not in _KNOWN and not raw.startswith(metadata.PREFIX):
            name = raw.decode("latin-1")[:64]
            detail = unknown("header", name, _NAMES)
            if name == "x-pixlake-preset":
                detail = "send the preset as a query parameter, or as a field of the form"
            raise InvalidRequest(detail, value=name)


def length_of(headers: Headers) -> int | None:
    """Parse the Content-Length; None without one. Raises InvalidRequest."""
    text = headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise InvalidRequest("Content-Length is not a number", value=text)
    return int(text)


def _boundary(headers: Headers) -> bytes | None:
    """Return the boundary of a form, or None for a raw image.

    Raises UnsupportedMediaType, MalformedMultipart, MissingBody.
    """
    sent = _once(headers, "content-type") or ""
    try:
        kind, options = parse_options_header(sent)
    except ValueError:
        raise UnsupportedMediaType("the Content-Type does not parse", value=sent) from None
    media_type = kind.decode("latin-1")
    if media_type == MULTIPART:
        if not options.get(b"boundary"):
            raise MalformedMultipart("the Content-Type has no boundary parameter")
        return options[b"boundary"]
    # The format follows from the bytes, so a missing or wrong image type is accepted.
    if not media_type:
        if headers.get("content-length") == "0":
            raise MissingBody(_HOW)
        return None
    if media_type in {_OCTETS, _S3_OCTETS} or media_type.startswith("image/"):
        return None
    raise UnsupportedMediaType(f"send {ACCEPTED}", value=sent)


def key_of(headers: Headers) -> str | None:
    """Parse the Idempotency-Key; raises InvalidIdempotencyKey."""
    sent = headers.getlist("idempotency-key")
    if not sent:
        return None
    if len(sent) > 1:
        raise InvalidIdempotencyKey("send one Idempotency-Key", limit=1, value=len(sent))
    return checked_key(_unquoted(sent[0]))


def checked_key(key: str) -> str:
    """Return the key if it is one; raises InvalidIdempotencyKey."""
    if len(key) > _MAX_KEY:
        raise InvalidIdempotencyKey(
            "the Idempotency-Key is too long", limit=_MAX_KEY, value=len(key)
        )
    if _KEY.fullmatch(key) is None:
        raise InvalidIdempotencyKey("an Idempotency-Key must be printable ASCII without spaces")
    return key


def _unquoted(key: str) -> str:
    """Return the key without quotes; the IETF draft defines the quoted form."""
    if not key.startswith('"'):
        return key
    try:
        item = http_sf.parse(key.encode("latin-1"), tltype="item")
    except (http_sf.StructuredFieldError, UnicodeEncodeError):
        item = None
    # An item is its value and its parameters; the draft defines no parameter.
    if not isinstance(item, tuple) or not isinstance(item[0], str):
        raise InvalidIdempotencyKey("the quoted Idempotency-Key does not parse")
    return item[0]


def _filename(headers: Headers) -> str | None:
    # Starlette decodes headers as Latin-1, which keeps every byte.
    if (name := _once(headers, "x-pixlake-filename")) is not None:
        return clean_filename(filenames.percent_decoded(name.encode("latin-1")))
    if (disposition := _once(headers, "content-disposition")) is not None:
        return filenames.from_disposition(disposition.encode("latin-1"))
    return None
