"""Streaming parser of a form with one image (RFC 7578), with size limits and without files."""

from collections.abc import Callable
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header
from starlette.datastructures import Headers

from processors.errors import TooManyBytes
from processors.nearest import unknown
from processors.untrusted_text import clean_filename
from serve_app.errors import MalformedMultipart, UnsupportedContentEncoding
from serve_app.upload.checksums import Checksums
from serve_app.upload.filenames import decoded, from_disposition

FILE = "file"
_FIELDS = frozenset({"metadata", "preset"})

# Headers of a part that may encode its bytes, each with the values that mean "not encoded".
_CODINGS = {
    b"content-encoding": {b"", b"identity"},
    b"content-transfer-encoding": {b"", b"7bit", b"8bit", b"binary"},
}

_MAX_PART_HEADERS = 8
# The largest metadata as JSON, in which an escape such as `\u0041` has six bytes for one.
_MAX_FIELD_BYTES = 64 * 1024
# Text before the first part is ignored (RFC 2046, 5.1.1); some mail programs write a line of text.
_MAX_PREAMBLE = 4 * 1024
OVERHEAD_BYTES = 128 * 1024
"""Largest size of a form without its image, in bytes."""


@dataclass(slots=True)
class _Part:
    name: str = ""
    filename: str | None = None
    headers: dict[bytes, bytes] = field(default_factory=dict)
    checksums: Checksums | None = None


class Form:
    """Parser of one form: call `feed`, then `finish`. Both raise MalformedMultipart.

    The checksums of a part are verified at the end of the part. So `feed` also raises
    InvalidChecksum, ChecksumMismatch, UnsupportedContentEncoding, TooManyBytes. The bytes of the
    image are passed to `on_image` in order.
    """

    def __init__(self, boundary: bytes, max_bytes: int, on_image: Callable[[bytes], None]) -> None:
        self.filename: str | None = None
        self.fields: dict[str, bytes] = {}
        self.has_file = False
        self._on_image = on_image
        self._max_bytes = max_bytes
        self._image_bytes = 0
        self._part = _Part()
        self._header = (bytearray(), bytearray())
        self._begins = b"\r\n--" + boundary
        # Begins with a line break, because the first boundary may be at the start of the body.
        self._preamble: bytearray | None = bytearray(b"\r\n")
        try:
            self._parser = self._make_parser(boundary)
        except FormParserError as error:
            raise MalformedMultipart(str(error)) from error

    def feed(self, chunk: bytes) -> None:
        """Parse the next piece of the body."""
        try:
            self._parser.write(self._after_preamble(chunk))
        except FormParserError as error:
            raise MalformedMultipart(f"the form is malformed: {error}") from error

    def _after_preamble(self, chunk: bytes) -> bytes:
        """Drop the bytes before the first part; returns the rest of the chunk."""
        if self._preamble is None:
            return chunk
        self._preamble += chunk
        at = self._preamble.find(self._begins)
        if at < 0:
            if len(self._preamble) > _MAX_PREAMBLE + len(self._begins):
                raise MalformedMultipart("the form has no first boundary", limit=_MAX_PREAMBLE)
            return b""
        rest = bytes(self._preamble[at + 2 :])
        self._preamble = None
        return rest

    def finish(self) -> None:
        """Check that the form is complete at the end of the body."""
        if self._parser.state != MultipartState.END:
            raise MalformedMultipart("the form ends before its closing boundary")

    def _make_parser(self, boundary: bytes) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._part_data,
                "on_part_end": self._part_ends,
            },
            max_header_count=_MAX_PART_HEADERS,
        )

    def _part_begins(self) -> None:
        self._part = _Part()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_ends(self) -> None:
        name, value = bytes(self._header[0]).lower(), bytes(self._header[1])
        if name in self._part.headers:
            raise MalformedMultipart(f"a part has two headers {decoded(name)[:64]!r}")
        self._part.headers[name] = value
        self._header = (bytearray(), bytearray())

    def _headers_end(self) -> None:
        part = self._part
        kind, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise MalformedMultipart("a part has no Content-Disposition with a name")
        part.name = decoded(options[b"name"])
        _refuse_encoded(part)
        part.checksums = Checksums.announced(Headers(raw=list(part.headers.items())))
        if part.name == FILE:
            if self.has_file:
                raise MalformedMultipart("the form has two files; send one image in each request")
            self.has_file = True
            self.filename = _filename(part.headers[b"content-disposition"], options)
        elif part.name in _FIELDS:
            if part.name in self.fields:
                raise MalformedMultipart(f"the form has two fields {part.name!r}")
            self.fields[part.name] = b""
        else:
            name = part.name[:64]
            detail = unknown("form field", name, (FILE, *_FIELDS))
            raise MalformedMultipart(detail, value=name)

    def _part_ends(self) -> None:
        if self._part.checksums is not None:
            self._part.checksums.verify()

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        content = data[start:end]
        if self._part.checksums is not None:
            self._part.checksums.update(content)
        if self._part.name == FILE:
            self._image_bytes += len(content)
            if self._image_bytes > self._max_bytes:
                raise TooManyBytes(
                    "the image is too large", limit=self._max_bytes, value=self._image_bytes
                )
            self._on_image(content)
        elif self._part.name in _FIELDS:
            value = self.fields[self._part.name] + content
            if len(value) > _MAX_FIELD_BYTES:
                raise MalformedMultipart(
                    f"the field {self._part.name!r} is too long",
                    limit=_MAX_FIELD_BYTES,
                    value=len(value),
                )
            self.fields[self._part.name] = value


def _refuse_encoded(part: _Part) -> None:
    """Raise UnsupportedContentEncoding if the bytes of a part are encoded."""
    for name, harmless in _CODINGS.items():
        sent = part.headers.get(name, b"")
        if sent.strip().lower() not in harmless:
            raise UnsupportedContentEncoding(
                f"the part {part.name[:64]!r} has a {name.decode()}; send its bytes without coding",
                value=decoded(sent)[:64],
            )


def _filename(disposition: bytes, options: dict[bytes, bytes]) -> str | None:
    """Parse the file name of a part, from `filename*` if it is present, else from `filename`.

    In `filename` browsers escape exactly three characters: `"`, CR and LF (WHATWG HTML, multipart
    form data).
    """
    if b"filename*" in disposition.lower():
        return from_disposition(disposition)
    name = decoded(options.get(b"filename", b""))
    for escape, letter in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        name = name.replace(escape, letter)
    return clean_filename(name)
