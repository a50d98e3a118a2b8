"""What an upload says before its body: all of it is checked before a byte is read."""

import re
from dataclasses import dataclass
from typing import Self

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers

from processors.errors import TooManyBytes
from processors.preset import PresetName
from serve_app import filenames, metadata
from serve_app.checksums import Checksums
from serve_app.errors import (
    InvalidIdempotencyKey,
    InvalidRequest,
    MalformedMultipart,
    MissingBody,
    UnsupportedMediaType,
)
from serve_app.multipart import OVERHEAD_BYTES

MULTIPART = "multipart/form-data"
_OCTETS = "application/octet-stream"
_HOW = "send an image as the body, or as the part `file` of a form"
# Long enough for two UUIDs and a path, short enough to log.
_MAX_KEY = 255
_KEY = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """The headers and the query of one upload, checked."""

    boundary: bytes | None
    """of a form; None for a raw body"""
    length: int | None
    """of the body, in bytes, if announced"""
    body_limit: int
    """of the body, in bytes; a form may have a little beside its image"""
    preset: PresetName | None
    idempotency_key: str | None
    filename: str | None
    metadata: dict[str, str]
    checksums: Checksums

    @classmethod
    def of(cls, headers: Headers, preset: str | None, max_bytes: int) -> Self:
        """Read and check; raises DoorError, TooManyBytes, UnknownPreset."""
        length = _length(headers)
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
            idempotency_key=_idempotency_key(headers),
            filename=_filename(headers),
            metadata=metadata.checked(metadata.from_headers(headers)),
            checksums=Checksums.announced(headers),
        )


def _length(headers: Headers) -> int | None:
    text = headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise InvalidRequest("Content-Length is not a number", value=text)
    return int(text)


def _boundary(headers: Headers) -> bytes | None:
    """The boundary of a form, None for a raw image; raises for any other content type."""
    sent = headers.get("content-type", "")
    try:
        kind, options = parse_options_header(sent)
    except ValueError:
        raise UnsupportedMediaType("the Content-Type does not parse", value=sent) from None
    media_type = kind.decode("latin-1")
    if media_type == MULTIPART:
        if not options.get(b"boundary"):
            raise MalformedMultipart("the Content-Type names no boundary")
        return options[b"boundary"]
    # The bytes decide what it is; a client that names no type, or a wrong one, may be right.
    if not media_type:
        if headers.get("content-length") == "0":
            raise MissingBody(_HOW)
        return None
    if media_type == _OCTETS or media_type.startswith("image/"):
        return None
    raise UnsupportedMediaType(f"send image/*, {_OCTETS} or {MULTIPART}", value=sent)


def _idempotency_key(headers: Headers) -> str | None:
    sent = headers.getlist("idempotency-key")
    if not sent:
        return None
    if len(sent) > 1:
        raise InvalidIdempotencyKey("send one Idempotency-Key", limit=1, value=len(sent))
    key = sent[0]
    if len(key) > _MAX_KEY:
        raise InvalidIdempotencyKey(
            "the Idempotency-Key is too long", limit=_MAX_KEY, value=len(key)
        )
    if _KEY.fullmatch(key) is None:
        raise InvalidIdempotencyKey("an Idempotency-Key is printable ASCII without spaces")
    return key


def _filename(headers: Headers) -> str | None:
    raw = dict(headers.raw)
    if b"x-pixlake-filename" in raw:
        return filenames.clean(filenames.percent_decoded(raw[b"x-pixlake-filename"]))
    if b"content-disposition" in raw:
        return filenames.from_disposition(raw[b"content-disposition"])
    return None
