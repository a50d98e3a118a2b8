"""Reader of a form with one image (RFC 7578), with size limits and without files."""

from collections.abc import Callable

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers

from processors.errors import TooManyBytes
from processors.nearest import unknown
from processors.untrusted_text import clean_filename
from serve_app.errors import MalformedMultipart
from serve_app.upload.checksums import Checksums
from serve_app.upload.filenames import decoded
from serve_app.upload.parts import Parts, filename_of, refuse_encoded_part

FILE = "file"
FIELDS = frozenset({"metadata", "preset"})
"""Fields of a form besides the file."""

_MAX_PART_HEADERS = 8
MAX_FIELD_BYTES = 64 * 1024
"""Longest field, in bytes: the largest metadata as JSON, in which an escape such as `\\u0041` has
six bytes for one."""
OVERHEAD_BYTES = 128 * 1024
"""Largest size of a form without its image, in bytes."""


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
        self._name = ""
        self._checksums: Checksums | None = None
        self._parts = Parts(boundary, self, _MAX_PART_HEADERS)

    def feed(self, chunk: bytes) -> None:
        """Parse the next piece of the body."""
        self._parts.feed(chunk)

    def finish(self) -> None:
        """Check that the form is complete at the end of the body."""
        self._parts.finish()

    def part_begins(self, headers: Headers) -> None:
        """Check the headers of a part."""
        kind, options = parse_options_header(headers.get("content-disposition", ""))
        if kind != b"form-data" or b"name" not in options:
            raise MalformedMultipart("a part has no Content-Disposition with a name")
        self._name = decoded(options[b"name"])
        refuse_encoded_part(headers, self._name)
        self._checksums = Checksums.announced(headers)
        if self._name == FILE:
            if self.has_file:
                raise MalformedMultipart("the form has two files; send one image in each request")
            self.has_file = True
            self.filename = clean_filename(filename_of(headers, options))
        elif self._name in FIELDS:
            if self._name in self.fields:
                raise MalformedMultipart(f"the form has two fields {self._name!r}")
            self.fields[self._name] = b""
        else:
            name = self._name[:64]
            detail = unknown("form field", name, (FILE, *FIELDS))
            raise MalformedMultipart(detail, value=name)

    def part_data(self, data: bytes) -> None:
        """Add bytes to the image or to a field."""
        if self._checksums is not None:
            self._checksums.update(data)
        if self._name == FILE:
            self._image_bytes += len(data)
            if self._image_bytes > self._max_bytes:
                raise TooManyBytes(
                    "the image is too large", limit=self._max_bytes, value=self._image_bytes
                )
            self._on_image(data)
        elif self._name in FIELDS:
            self.fields[self._name] = grown_field(self._name, self.fields[self._name], data)

    def part_ends(self) -> None:
        """Verify the checksums of the part."""
        if self._checksums is not None:
            self._checksums.verify()


def grown_field(name: str, value: bytes, data: bytes) -> bytes:
    """Append bytes to the value of a field; raises MalformedMultipart for a long one."""
    value += data
    if len(value) > MAX_FIELD_BYTES:
        raise MalformedMultipart(
            f"the field {name!r} is too long", limit=MAX_FIELD_BYTES, value=len(value)
        )
    return value
