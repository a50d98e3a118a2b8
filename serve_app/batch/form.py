"""Reader of a batch as `multipart/form-data` or `multipart/mixed`: one image in each file part."""

from collections.abc import Iterable

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers

from lake.errors import CodedError
from processors.nearest import unknown
from serve_app.batch.errors import InvalidName
from serve_app.batch.item import END, Event, Item, checked_name, shown_name
from serve_app.errors import MalformedMultipart
from serve_app.upload import metadata
from serve_app.upload.checksums import Checksums
from serve_app.upload.filenames import decoded
from serve_app.upload.multipart import FIELDS, FILE, grown_field
from serve_app.upload.parts import Parts, filename_of, refuse_encoded_part
from serve_app.upload.upload_request import key_of

# Each entry of the metadata may have a header of its own.
_MAX_HEADERS = 48


class FormReader:
    """Reader of one body: the events of `feed`, and `finish` at its end.

    Both raise MalformedMultipart. `fields` has the fields of a form, for all images behind them.
    """

    def __init__(self, boundary: bytes, *, mixed: bool) -> None:
        self.fields: dict[str, bytes] = {}
        self._mixed = mixed
        self._field: str | None = None
        self._count = 0
        self._events: list[Event] = []
        self._parts = Parts(boundary, self, _MAX_HEADERS)

    def feed(self, chunk: bytes) -> Iterable[Event]:
        """Parse the next piece of the body."""
        self._events = []
        try:
            self._parts.feed(chunk)
        except MalformedMultipart as fault:
            return _then_raised(self._events, fault)
        return self._events

    def finish(self) -> None:
        """Check that the body is complete."""
        self._parts.finish()

    def part_begins(self, headers: Headers) -> None:
        """Begin a field or an image."""
        kind, options = parse_options_header(headers.get("content-disposition", ""))
        self._field = None
        if not self._mixed:
            if kind != b"form-data" or b"name" not in options:
                raise MalformedMultipart("a part has no Content-Disposition with a name")
            name = decoded(options[b"name"])
            if name != FILE:
                self._field_begins(name)
                return
        self._count += 1
        sent = filename_of(headers, options) or f"#{self._count}"
        self._events.append(_item(sent.encode("utf-8", "surrogateescape"), headers))

    def part_data(self, data: bytes) -> None:
        """Add bytes to the image or to the field."""
        if self._field is None:
            self._events.append(data)
        else:
            value = self.fields[self._field]
            self.fields[self._field] = grown_field(self._field, value, data)

    def part_ends(self) -> None:
        """End the image."""
        if self._field is None:
            self._events.append(END)

    def _field_begins(self, name: str) -> None:
        if name not in FIELDS:
            detail = unknown("form field", name[:64], (FILE, *FIELDS))
            raise MalformedMultipart(detail, value=name[:64])
        if name in self.fields:
            raise MalformedMultipart(f"the form has two fields {name!r}")
        if self._count:
            raise MalformedMultipart(f"send the field {name!r} before the first file")
        self.fields[name] = b""
        self._field = name


def _then_raised(events: list[Event], fault: CodedError) -> Iterable[Event]:
    """Yield the events before a fault of a chunk, then raise the fault."""
    yield from events
    raise fault


def _item(raw: bytes, headers: Headers) -> Item:
    try:
        name = checked_name(raw)
    except InvalidName as fault:
        return Item(shown_name(raw), fault=fault)
    try:
        refuse_encoded_part(headers, name)
        return Item(
            name,
            preset=headers.get("x-pixlake-preset"),
            metadata=metadata.from_headers(headers),
            idempotency_key=key_of(headers),
            checksums=Checksums.announced(headers),
        )
    except CodedError as fault:
        return Item(name, fault=fault)
