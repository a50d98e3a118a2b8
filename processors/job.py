"""Input of the workers (`ImageJob`) and their result (`Processed`)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from processors.codecs.bmff import MAX_DURATION_MS
from processors.codecs.colour import MAX_ICC_NAME
from processors.codecs.exif import NOTHING, Exif
from processors.codecs.gain_maps import GainMap
from processors.codecs.header import Space
from processors.faces import MAX_FACES
from processors.preset import Preset, PresetName
from processors.untrusted_text import CodeText, Name

if TYPE_CHECKING:
    # Not at run time: decoders import this module, and have no pyarrow.
    from lake.tables.image_columns import Source

Color = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
# At most one day: no image takes longer, and sums stay exact in a double.
Milliseconds = Annotated[float, Field(ge=0, le=86_400_000)]
CodeKind = Literal["qr", "ean_13", "ean_8", "upc_a", "upc_e"]
MAX_SWATCHES = 5
MAX_CODES = 8
"""Largest number of QR and bar codes that are kept of one image."""

_KEY, _EVENT = "key", "event"

Blob = bytes | bytearray
"""Encoded image; must not be changed. A large one stays a bytearray to avoid a copy."""

Bytes = NDArray[np.uint8]
"""Image bytes as a one-dimensional array: Ray passes arrays between processes without a copy."""


@dataclass(frozen=True, slots=True)
class KafkaPosition:
    """Position of a Kafka message; `topic_id` is the UUID of its topic.

    `message` is a digest of the whole message. The digest is part of the position, because a log
    that lost its end assigns the same offsets again, to other messages.
    """

    topic: str
    topic_id: str
    partition: int
    offset: int
    message: str


@dataclass(frozen=True, slots=True)
class ImageJob:
    """Image as it was received: identity, bytes, and the client's parameters.

    `identity` is the source identity (docs/design.md, "Identity"), from `by_key`, `by_content`,
    `by_event` or `by_position`; `image_id` is derived from identity and tenant.
    """

    tenant: str
    source: "Source"
    identity: tuple[str, ...]
    data: Bytes
    preset: Preset | PresetName
    """The worker looks up a name, because the Kafka consumer has no access to the store."""
    received_at: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    newest: bool = False
    """The client named a stored preset without a version: a newer version is the same request."""
    requested_preset: str = ""
    """Preset as the sender named it, with or without version; empty: the default preset."""
    sha256: str | None = None
    """Hex digest of `data`, if the bytes were hashed while they were received."""
    filename: str | None = None
    event_time: datetime | None = None
    position: KafkaPosition | None = None
    message_time: datetime | None = None
    """Time of the Kafka message; None if the message does not expire."""
    look_first: bool = False
    """The image may be stored already, so its record is looked up before any work."""
    key: str = ""
    """Name of the sender's API key; the child time of an image counts for this key."""

    @property
    def image_id(self) -> str:
        """First 128 bits of SHA-256 over tenant and source identity, as 32 hex digits."""
        return image_id_of(self.tenant, self.identity)

    @property
    def is_named(self) -> bool:
        """True if the sender chose the identity: an idempotency key or an event's id."""
        return self.identity[0] in {_KEY, _EVENT}


def image_id_of(tenant: str, identity: tuple[str, ...]) -> str:
    """Id of the image of a source identity."""
    return _digest((tenant, *identity))[:32]


def by_key(idempotency_key: str) -> tuple[str, ...]:
    """Identity of an upload with an `Idempotency-Key`."""
    return (_KEY, idempotency_key)


def by_content(sha256: str, preset: Preset, metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Identity of an upload without a key: equal content is the same image."""
    return ("content", sha256, preset.owned_name, str(preset.version), canonical(metadata))


def by_event(source: str, event_id: str) -> tuple[str, ...]:
    """Identity of a CloudEvent, by its `ce_source` and `ce_id`."""
    return (_EVENT, source, event_id)


def by_position(position: KafkaPosition) -> tuple[str, ...]:
    """Identity of a plain Kafka message.

    The identity contains the topic's UUID, because a topic that is deleted and created again
    restarts its offsets at 0, and its messages are other images. The identity contains the digest
    of the message, because a log that lost its end assigns offsets again.
    """
    place = (position.topic_id, str(position.partition), str(position.offset))
    return ("message", *place, position.message)


def content_hash(
    sha256: str, preset: Preset, metadata: Mapping[str, str], *, newest: bool = False
) -> str:
    """Hash of the content that must be equal when an identity is used again.

    The content is bytes, preset and metadata. `newest` leaves the preset's version out: a message
    that Kafka delivers again after a preset was changed is still the same request.
    """
    if newest:
        return _digest(("content", sha256, preset.owned_name, "newest", canonical(metadata)))
    return _digest(by_content(sha256, preset, metadata))


def canonical(metadata: Mapping[str, str]) -> str:
    """Canonical JSON of a mapping: sorted keys, no spaces, UTF-8."""
    return json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _digest(parts: tuple[str, ...]) -> str:
    # JSON of a list keeps the boundaries between parts; plain concatenation loses them.
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Details:
    """Further facts about a file of any format.

    `duration_ms` is the duration of one run of an animation, None for a still. `icc_name` is the
    name of the colour profile. `damaged`: the decoder had to guess some of the pixels.
    `gain_map`: type of the HDR gain map in the file.
    """

    bit_depth: Annotated[int, Field(ge=1, le=64)]
    space: Space
    icc_name: Annotated[Name, Field(max_length=MAX_ICC_NAME)] | None
    duration_ms: Annotated[int, Field(ge=0, le=MAX_DURATION_MS)] | None
    damaged: bool = False
    gain_map: GainMap | None = None


@dataclass(frozen=True, slots=True)
class Swatch:
    """Dominant colour of an image, `#rrggbb` in sRGB, and its fraction of the pixels."""

    color: Color
    share: Fraction


@dataclass(frozen=True, slots=True)
class Code:
    """QR or bar code found in an image; its text is untrusted."""

    kind: CodeKind
    text: CodeText


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts from the header; width and height in pixels as displayed (after EXIF orientation)."""

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
    """Measurements of the pixels; `docs/columns.md` gives units, formulas and sources.

    `codes`, `faces`: None if the settings do not ask for them.
    """

    # The absolute Laplacian of 8-bit samples is at most 4 x 255.
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
    """Encoded output of a preset; width and height in pixels."""

    name: str
    format: str
    content_type: str
    extension: str
    width: int
    height: int
    data: Blob


@dataclass(frozen=True, slots=True)
class Processed:
    """Result of processing one image; `process_ms` is wall time in the child."""

    facts: Facts
    measures: Measures
    renditions: tuple[Rendition, ...]
    process_ms: float
    timings: Timings = Timings()
