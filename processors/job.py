"""What a door hands to the workers (`ImageJob`) and what processing makes of it (`Processed`)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from processors.bmff import MAX_DURATION_MS
from processors.colour import MAX_ICC_NAME
from processors.exif import NOTHING, Exif
from processors.faces import MAX_FACES
from processors.foreign_text import CodeText, Name
from processors.gain_maps import GainMap
from processors.header import Space
from processors.preset import Preset, PresetName

Door = Literal["api", "kafka"]
Color = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
# A day: no image may take so long, and no sum of them leaves what a double says exactly.
Milliseconds = Annotated[float, Field(ge=0, le=86_400_000)]
CodeKind = Literal["qr", "ean_13", "ean_8", "upc_a", "upc_e"]
MAX_SWATCHES = 5
MAX_CODES = 8
"""So many are kept of one image."""

Blob = bytes | bytearray
"""An encoded image; nobody changes it, and a large one is not copied for that to be certain."""

Bytes = NDArray[np.uint8]
"""Image bytes, one dimension: Ray hands such arrays between processes without a copy."""


@dataclass(frozen=True, slots=True)
class KafkaPosition:
    """Where a message stood; `topic_id` is the UUID of its topic.

    `message` is a digest of all that the message says: a log that lost its end gives the offsets
    of that end out again, and then another message stands there.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int
    message: str


@dataclass(frozen=True, slots=True)
class ImageJob:
    """One image as a door took it: identity, bytes, and what the client said of it.

    `identity` is the source identity of design section 3, from `by_key`, `by_content`,
    `by_event` or `by_position`; `image_id` follows from it and the tenant.
    """

    tenant: str
    door: Door
    identity: tuple[str, ...]
    data: Bytes
    preset: Preset | PresetName
    """a name is for the worker to look up: not every door knows the store"""
    received_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    newest: bool = False
    """the client named a stored preset and no version, so a newer one is no other request"""
    sha256: str | None = None
    """hex digest of `data`, when the door hashed it as it came"""
    filename: str | None = None
    event_time: datetime | None = None
    position: KafkaPosition | None = None

    @property
    def image_id(self) -> str:
        """The first 128 bits of SHA-256 over tenant and source identity, as 32 hex digits."""
        return _digest((self.tenant, *self.identity))[:32]


def by_key(idempotency_key: str) -> tuple[str, ...]:
    """Identity of an upload with an `Idempotency-Key`."""
    return ("key", idempotency_key)


def by_content(sha256: str, preset: Preset, metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Identity of an upload without a key: equal content is the same image."""
    return ("content", sha256, preset.name, str(preset.version), canonical(metadata))


def by_event(source: str, event_id: str) -> tuple[str, ...]:
    """Identity of a CloudEvent, by its `ce_source` and `ce_id`."""
    return ("event", source, event_id)


def by_position(position: KafkaPosition) -> tuple[str, ...]:
    """Identity of a plain Kafka message.

    By the topic's UUID: a topic that is deleted and made again counts its offsets from 0 again,
    and its messages are other images. By what the message says: so does a log that lost its end.
    """
    place = (position.topic_id, str(position.partition), str(position.offset))
    return ("message", *place, position.message)


def content_hash(
    sha256: str, preset: Preset, metadata: Mapping[str, str], *, newest: bool = False
) -> str:
    """Hash of what must be equal when an identity comes again: bytes, preset and metadata.

    `newest`: whatever version the preset had. A message that Kafka delivers again after a preset
    was changed asks for the same as before.
    """
    if newest:
        return _digest(("content", sha256, preset.name, "newest", canonical(metadata)))
    return _digest(by_content(sha256, preset, metadata))


def canonical(metadata: Mapping[str, str]) -> str:
    """The one JSON text of a mapping: sorted keys, no spaces, UTF-8."""
    return json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _digest(parts: tuple[str, ...]) -> str:
    # JSON of a list is unambiguous about where one part ends; plain concatenation is not.
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Details:
    """What else is known of a file, whatever its format.

    `duration_ms` is that of one run of an animation, None for a still. `icc_name` is what its
    colour profile calls itself. `damaged`: the decoder had to guess at some of the pixels.
    `gain_map`: the kind of HDR gain map that lies beside the image.
    """

    bit_depth: Annotated[int, Field(ge=1, le=64)]
    space: Space
    icc_name: Annotated[Name, Field(max_length=MAX_ICC_NAME)] | None
    duration_ms: Annotated[int, Field(ge=0, le=MAX_DURATION_MS)] | None
    damaged: bool = False
    gain_map: GainMap | None = None


@dataclass(frozen=True, slots=True)
class Swatch:
    """A colour of an image, `#rrggbb` in sRGB, and the fraction of its pixels."""

    color: Color
    share: Fraction


@dataclass(frozen=True, slots=True)
class Code:
    """A QR or bar code that was read; what it says is a stranger's text."""

    kind: CodeKind
    text: CodeText


@dataclass(frozen=True, slots=True)
class Facts:
    """What the header says; width and height in pixels, as displayed (after EXIF orientation)."""

    format: str
    content_type: str
    extension: str
    width: int
    height: int
    orientation: int
    frames: int
    has_alpha: bool
    details: Details
    exif: Exif = NOTHING


@dataclass(frozen=True, slots=True)
class Measures:
    """What the pixels say; `docs/columns.md` gives units, formulas and sources.

    `codes`, `faces`: None if they were not looked for.
    """

    # The Laplacian of 8 bits is at most 4 x 255 off 0.
    sharpness: Annotated[float, Field(ge=0, le=1020**2)]
    brightness: Annotated[float, Field(ge=0, le=255)]
    contrast: Annotated[float, Field(ge=0, le=127.5)]
    entropy: Annotated[float, Field(ge=0, le=8)]
    clipped_shadows: Fraction
    clipped_highlights: Fraction
    noise: Annotated[float, Field(ge=0, le=1000)]
    dominant_color: Color
    dominant_colors: Annotated[tuple[Swatch, ...], Field(max_length=MAX_SWATCHES)]
    colorfulness: Annotated[float, Field(ge=0, le=500)]
    thumbhash: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{8,36}={0,2}$")]
    phash: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    codes: Annotated[tuple[Code, ...], Field(max_length=MAX_CODES)] | None = None
    faces: Annotated[int, Field(ge=0, le=MAX_FACES)] | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """Wall time of each step in the child, in milliseconds."""

    decode_ms: Milliseconds = 0.0
    measure_ms: Milliseconds = 0.0
    render_ms: Milliseconds = 0.0
    encode_ms: Milliseconds = 0.0


@dataclass(frozen=True, slots=True)
class Rendition:
    """One encoded output of a preset; width and height in pixels."""

    name: str
    format: str
    content_type: str
    extension: str
    width: int
    height: int
    data: Blob


@dataclass(frozen=True, slots=True)
class Processed:
    """All that processing found and made; `process_ms` is wall time in the child."""

    facts: Facts
    measures: Measures
    renditions: tuple[Rendition, ...]
    process_ms: float
    timings: Timings = Timings()
