"""Headers and query of a batch, checked before its body is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers

from processors.preset import PresetName
from serve_app.batch.errors import CompressedArchive
from serve_app.batch.form import FormReader
from serve_app.batch.item import Reader
from serve_app.batch.tar import TarReader
from serve_app.errors import (
    InvalidChecksum,
    InvalidIdempotencyKey,
    InvalidRequest,
    MalformedMultipart,
    UnsupportedMediaType,
)
from serve_app.problems import ACCEPTED_BATCHES
from serve_app.upload import metadata
from serve_app.upload.checksums import Checksums
from serve_app.upload.filenames import decoded
from serve_app.upload.upload_request import MULTIPART, refuse_encoded, refuse_unknown

TAR, MIXED = "application/x-tar", "multipart/mixed"
_COMPRESSED = frozenset(
    {
        *("application/gzip", "application/x-gzip", "application/x-tgz", "application/zip"),
        *("application/zstd", "application/x-xz", "application/x-bzip2"),
        *("application/x-compressed-tar", "application/x-gtar-compressed"),
    }
)


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """Checked headers and query of one batch, and the reader of its body."""

    reader: Reader
    preset: PresetName | None
    metadata: Mapping[str, str]

    @classmethod
    def of(cls, headers: Headers, preset: str | None) -> Self:
        """Parse and check headers and query; raises ApiError, UnknownPreset."""
        refuse_encoded(headers)
        refuse_unknown(headers)
        _refuse_of_one_image(headers)
        return cls(
            reader=_reader(headers),
            preset=None if preset is None else PresetName.parse(preset),
            metadata=metadata.checked(metadata.from_headers(headers)),
        )

    def with_fields(self) -> tuple[PresetName | None, Mapping[str, str]]:
        """Return preset and metadata of all images, with the fields of a form.

        Raises UnknownPreset, InvalidMetadata, InvalidRequest.
        """
        fields = self.reader.fields if isinstance(self.reader, FormReader) else {}
        preset = self.preset
        if "preset" in fields:
            named = PresetName.parse(decoded(fields["preset"]))
            if preset not in {None, named}:
                raise InvalidRequest(
                    "the query and the form name different presets", value=str(named)
                )
            preset = named
        more = metadata.from_json(fields["metadata"]) if "metadata" in fields else {}
        return preset, metadata.checked(self.metadata, more)


def _refuse_of_one_image(headers: Headers) -> None:
    """Refuse headers that say something of one image."""
    if "idempotency-key" in headers:
        raise InvalidIdempotencyKey("a key names one image; send a key with each image")
    if "x-pixlake-filename" in headers:
        raise InvalidRequest("the images of a batch have their own names")
    if announced := Checksums.announced(headers).headers:
        raise InvalidChecksum(
            "images are stored before the batch ends; send checksums with the parts of a form",
            value=announced[0],
        )


def _reader(headers: Headers) -> Reader:
    sent = headers.get("content-type", "")
    try:
        kind, options = parse_options_header(sent)
    except ValueError:
        raise UnsupportedMediaType("the Content-Type does not parse", value=sent) from None
    media_type = kind.decode("latin-1")
    if media_type == TAR:
        return TarReader()
    if media_type in {MULTIPART, MIXED}:
        if not options.get(b"boundary"):
            raise MalformedMultipart("the Content-Type has no boundary parameter")
        return FormReader(options[b"boundary"], mixed=media_type == MIXED)
    if media_type in _COMPRESSED:
        raise CompressedArchive("send the archive as plain tar", value=media_type)
    raise UnsupportedMediaType(f"send {ACCEPTED_BATCHES}", value=sent)
