"""Schemas of record and row: `ImageRecord` (JSON in the store) and `IMAGES` (Arrow).

A new column has a default and raises `SCHEMA_VERSION`; files of earlier versions stay readable.
"""

import hashlib
import hmac
from datetime import datetime
from typing import Annotated, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from lake.errors import Fault
from lake.tables.columns import MS, Column, Int, SchemaVersion, WindowStart, newest, schema_of
from lake.tables.image_columns import ImageColumns, RenditionColumns

# Version 6 has `requested_preset` in records. A later column raises the version by its `since`.
SCHEMA_VERSION = max(6, newest(ImageColumns))


class StoredRendition(RenditionColumns):
    """Rendition as it is in the store."""

    key: Annotated[str, Column("service", "key of the rendition in the bucket")]


class ImageRecord(ImageColumns):
    """Record of an image; `record.json` in the store, one row in the lake."""

    kind: Literal["image"] = "image"
    schema_version: SchemaVersion = SCHEMA_VERSION
    attempt: Annotated[
        str,
        Column(
            "service",
            "id of the committed attempt; names of the image's objects end in it",
        ),
    ]
    window_start: WindowStart
    content_hash: Annotated[str, Column("service", "SHA-256 over bytes, preset and metadata")]
    original_key: Annotated[str, Column("service", "key of the original in the bucket")]
    renditions: Annotated[
        tuple[StoredRendition, ...], Column("service", "files that the preset made")
    ] = ()
    phash_0: Annotated[Int | None, Column("pixels", "bits 63 to 48 of `phash`, 0 to 65,535")] = None
    phash_1: Annotated[Int | None, Column("pixels", "bits 47 to 32 of `phash`")] = None
    phash_2: Annotated[Int | None, Column("pixels", "bits 31 to 16 of `phash`")] = None
    phash_3: Annotated[Int | None, Column("pixels", "bits 15 to 0 of `phash`")] = None
    requested_preset: str | None = Field(
        default=None,
        description="preset as the request named it, with or without version; empty: the default",
    )

    @property
    def row_name(self) -> tuple[str, ...]:
        """Name of the row within its window; each attempt has a row of its own."""
        return self.image_id, self.attempt


class Tombstone(BaseModel):
    """Record that replaces an erased image's record; contains no personal data.

    `content` identifies the erased bytes when they are sent again. It is a digest with the attempt
    as key, so that each erasure has another digest and a list of known checksums does not match.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["tombstone"] = "tombstone"
    schema_version: int = SCHEMA_VERSION
    image_id: str
    tenant: str
    attempt: str = Field(description="attempt of the record that was erased")
    window_start: datetime
    erased_at: datetime
    content: str | None = Field(
        default=None, description="keyed digest of the erased bytes; None: not recorded"
    )

    def knowing(self, sha256: str) -> "Tombstone":
        """Copy with the digest of the erased bytes."""
        return self.model_copy(update={"content": self._digest(sha256)})

    def is_of(self, sha256: str | None) -> bool:
        """True if these bytes were erased; also true if the digest was not recorded."""
        if self.content is None:
            return True
        return sha256 is not None and hmac.compare_digest(self.content, self._digest(sha256))

    def _digest(self, sha256: str) -> str:
        return hmac.new(self.attempt.encode(), sha256.encode(), hashlib.sha256).hexdigest()[:32]


MAX_REFUSED = 64
"""Limit of refused messages of one event, so that endless retries do not grow its record."""


class RefusedName(BaseModel):
    """Record under the image id of a refused message, in place of an image's record.

    Once it names `MAX_REFUSED` messages it is full: all other messages of that id are refused.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["refused"] = "refused"
    schema_version: int = SCHEMA_VERSION
    image_id: str
    tenant: str
    attempt: str = ""
    window_start: datetime
    refused: dict[str, Fault] = Field(description="by `rejection_id` of the message")

    @property
    def full(self) -> bool:
        """True if the record accepts no more messages of this id, refused or not."""
        return len(self.refused) >= MAX_REFUSED


NOT_IN_ROWS = frozenset({"kind", "requested_preset"})
"""Fields of records that are no columns: nobody queries them, and older sealers keep all rows."""

IMAGES = schema_of(ImageRecord)
"""Columns of the table `images`, in file order."""

TOMBSTONES = pa.schema(
    [
        pa.field("schema_version", pa.int32(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("attempt", pa.string(), nullable=False),
        pa.field("window_start", MS, nullable=False),
        pa.field("erased_at", MS, nullable=False),
    ]
)
"""Columns of an erasure in the journal."""

Named = ImageRecord | Tombstone | RefusedName

RECORD: TypeAdapter[Named] = TypeAdapter(Annotated[Named, Field(discriminator="kind")])
"""Content of `record.json`: an image's record, a tombstone, or a refused message."""
