"""Streaming parser of multipart bodies (RFC 2046): headers and bytes of each part, with limits."""

from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState
from starlette.datastructures import Headers

from serve_app.errors import MalformedMultipart, UnsupportedContentEncoding
from serve_app.upload.filenames import decoded, from_disposition

# Headers of a part that may encode its bytes, each with the values that mean "not encoded".
_CODINGS = {
    "content-encoding": {"", "identity"},
    "content-transfer-encoding": {"", "7bit", "8bit", "binary"},
}

# Text before the first part is ignored (RFC 2046, 5.1.1); some mail programs write a line of text.
_MAX_PREAMBLE = 4 * 1024
# Text behind the last part is ignored, too.
_MAX_EPILOGUE = 64 * 1024


class Receiver(Protocol):
    """Receiver of the parts of a body, in their order."""

    def part_begins(self, headers: Headers) -> None:
        """Receive the headers of a part."""

    def part_data(self, data: bytes) -> None:
        """Receive the next bytes of the part."""

    def part_ends(self) -> None:
        """Receive the end of the part."""


class Parts:
    """Parser of one body: call `feed`, then `finish`. Both raise MalformedMultipart.

    `feed` also raises what the receiver raises.
    """

    def __init__(self, boundary: bytes, receiver: Receiver, max_headers: int) -> None:
        self._receiver = receiver
        self._headers: dict[bytes, bytes] = {}
        self._header = (bytearray(), bytearray())
        self._epilogue = 0
        self._begins = b"\r\n--" + boundary
        # Begins with a line break, because the first boundary may be at the start of the body.
        self._preamble: bytearray | None = bytearray(b"\r\n")
        try:
            self._parser = self._make_parser(boundary, max_headers)
        except FormParserError as error:
            raise MalformedMultipart(str(error)) from error

    def feed(self, chunk: bytes) -> None:
        """Parse the next piece of the body."""
        if self._parser.state == MultipartState.END:
            self._epilogue += len(chunk)
            if self._epilogue > _MAX_EPILOGUE:
                raise MalformedMultipart(
                    "the form goes on after its closing boundary", limit=_MAX_EPILOGUE
                )
            return
        try:
            self._parser.write(self._after_preamble(chunk))
        except FormParserError as error:
            raise MalformedMultipart(f"the form is malformed: {error}") from error

    def finish(self) -> None:
        """Check that the body is complete at its end."""
        if self._parser.state != MultipartState.END:
            raise MalformedMultipart("the form ends before its closing boundary")

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

    def _make_parser(self, boundary: bytes, max_headers: int) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._part_data,
                "on_part_end": self._receiver.part_ends,
            },
            max_header_count=max_headers,
        )

    def _part_begins(self) -> None:
        self._headers = {}

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_ends(self) -> None:
        name, value = bytes(self._header[0]).lower(), bytes(self._header[1])
        if name in self._headers:
            raise MalformedMultipart(f"a part has two headers {decoded(name)[:64]!r}")
        self._headers[name] = value
        self._header = (bytearray(), bytearray())

    def _headers_end(self) -> None:
        self._receiver.part_begins(Headers(raw=list(self._headers.items())))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._receiver.part_data(data[start:end])


def refuse_encoded_part(headers: Headers, name: str) -> None:
    """Raise UnsupportedContentEncoding if the bytes of a part are encoded."""
    for header, harmless in _CODINGS.items():
        sent = headers.get(header, "")
        if sent.strip().lower() not in harmless:
            raise UnsupportedContentEncoding(
                f"the part {name[:64]!r} has a {header}; send its bytes without coding",
                value=sent[:64],
            )


def filename_of(headers: Headers, options: dict[bytes, bytes]) -> str:
    """Parse the file name of a part, from `filename*` if it is present, else from `filename`.

    In `filename` browsers escape exactly three characters: `"`, CR and LF (WHATWG HTML, multipart
    form data). `options`: parameters of its Content-Disposition.
    """
    disposition = headers.get("content-disposition", "").encode("latin-1")
    if b"filename*" in disposition.lower():
        return from_disposition(disposition) or ""
    name = decoded(options.get(b"filename", b""))
    for escape, letter in (("%22", '"'), ("%0D", "\r"), ("%0A", "\n")):
        name = name.replace(escape, letter)
    return name
