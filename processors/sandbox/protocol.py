"""Messages between parent and child: length, JSON header, then raw bytes.

Pickle is not used: a child that a hostile image has taken over may send anything. The parent
accepts only messages that these models allow and that the request can lead to.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from processors import errors
from processors.codecs.codec import OutputFormat
from processors.codecs.exif import Exif
from processors.job import (
    Details,
    Measures,
    Milliseconds,
    Processed,
    Timings,
)
from processors.preset import MAX_RENDITIONS, Preset
from processors.settings import Limits
from processors.untrusted_text import Name, printable

LENGTH = struct.Struct(">I")
"""Length in front of every JSON header."""

NUMBER = struct.Struct("=i")
"""Number that the fork server sends: a child's process id, later the exit code or -signal."""

MAX_HEADER_BYTES = 65_536
"""Largest JSON header; a reply with 16 renditions has 4 KB, and eight codes add up to 32 KB."""

_MAX_DETAIL = 300
_MAX_VALUE = 64
Side = Annotated[int, Field(ge=1, le=65_535)]
"""Width or height in pixels; no limit can be set higher."""
_MAX_INT, _MAX_FLOAT = 2**63 - 1, 1e300
Number = (
    Annotated[int, Field(ge=-_MAX_INT, le=_MAX_INT)]
    | Annotated[float, Field(ge=-_MAX_FLOAT, le=_MAX_FLOAT)]
)
"""A limit, or a value compared with it."""


class BrokenProtocol(Exception):
    """The child sent a message that a child never sends unless an image has taken it over."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Start(_Message):
    """Start parameters of a child: limits, and bytes of its own and of shared address space."""

    kind: Literal["start"] = "start"
    limits: Limits
    memory_bytes: int
    shared_bytes: int


Protections = dict[str, int | bool | str]
"""Protections against a child that was taken over, by name."""


class Ready(_Message):
    """Report that the child is ready; `protections` are in force."""

    kind: Literal["ready"] = "ready"
    protections: Protections = Field(max_length=32)


class Request(_Message):
    """Request for one image: the first `size` bytes of the shared memory, and a preset.

    The preset is JSON text, so that a child can cache the parsed preset by its text.
    """

    kind: Literal["request"] = "request"
    size: int
    preset: str
    threads: bool = False
    """The decoder of this image needs threads; the child sees no other image."""
    nonce: str
    """The answer must repeat the nonce, so that an earlier message does not count as the answer."""


class Made(_Message):
    """Header of a rendition; `size` bytes of each follow the headers, in the order of the list."""

    name: str = Field(max_length=64)
    format: OutputFormat
    width: Side
    height: Side
    size: int = Field(ge=1, lt=2**32)


Nonce = Annotated[str, Field(max_length=32)]


class Answer(_Message):
    """Result of a processed image."""

    kind: Literal["answer"] = "answer"
    nonce: Nonce
    width: Side
    height: Side
    orientation: int = Field(ge=1, le=8)
    frames: int = Field(ge=1, le=1_000_000_000)
    has_alpha: bool
    details: Details
    exif: Exif
    measures: Measures
    process_ms: Milliseconds
    timings: Timings
    renditions: Annotated[tuple[Made, ...], Field(strict=False)] = Field(max_length=MAX_RENDITIONS)


class Refusal(_Message):
    """Refusal of an image, with a code of `processors.errors`."""

    kind: Literal["refusal"] = "refusal"
    nonce: Nonce
    code: str = Field(max_length=64)
    detail: str = Field(max_length=_MAX_DETAIL)
    limit: Number | None = None
    value: Number | Annotated[Name, Field(max_length=_MAX_VALUE)] | None = None


Reply = Answer | Refusal
_REPLY: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="kind")])

REFUSALS: dict[str, type[errors.Refused]] = {
    each.code: each
    for each in (
        errors.Truncated,
        errors.Undecodable,
        errors.UnsupportedFormat,
        errors.NotAnImage,
        errors.TooManyPixels,
        errors.TooManyFrames,
        errors.SideTooLong,
        errors.TooManyScans,
        errors.TooMuchMetadata,
        errors.OutputTooLarge,
        errors.TooMuchWork,
        errors.Damaged,
        errors.DecoderMemory,
    )
}
"""Errors that a child may send; only the parent raises the others."""


def message_of(message: BaseModel) -> bytes:
    """Encode a message as JSON."""
    return message.model_dump_json().encode()


def framed(message: BaseModel) -> bytes:
    """Encode a message as length and JSON."""
    text = message_of(message)
    return LENGTH.pack(len(text)) + text


def request_of(size: int, preset: Preset, nonce: str, *, threads: bool = False) -> bytes:
    """Encode a request as length and JSON."""
    text = _preset_text(preset)
    return framed(Request(size=size, preset=text, threads=threads, nonce=nonce))


# A deployment has few presets, and most images use the same one.
_preset_text: Callable[[Preset], str] = lru_cache(maxsize=64)(Preset.model_dump_json)


def parse_reply(text: bytes) -> Reply:
    """Parse and validate a reply; raises BrokenProtocol."""
    try:
        return _REPLY.validate_json(text)
    except ValidationError as error:
        # The error tells only the number of faults; their text can be sixty times the reply.
        raise BrokenProtocol(f"a reply with {error.error_count()} faults") from None


def parse_ready(text: bytes) -> Ready:
    """Parse and validate the first message of a child; raises BrokenProtocol."""
    try:
        return Ready.model_validate_json(text)
    except ValidationError:
        raise BrokenProtocol("the child did not report ready") from None


def answer_of(processed: Processed, nonce: str) -> Answer:
    """Build the answer for a result; the bytes of renditions are sent separately."""
    facts = processed.facts
    return Answer(
        nonce=nonce,
        width=facts.width,
        height=facts.height,
        orientation=facts.orientation,
        frames=facts.frames,
        has_alpha=facts.has_alpha,
        details=facts.details,
        exif=facts.exif,
        measures=processed.measures,
        process_ms=processed.process_ms,
        timings=processed.timings,
        renditions=tuple(
            Made.model_validate(
                {
                    "name": each.name,
                    "format": each.format,
                    "width": each.width,
                    "height": each.height,
                    "size": len(each.data),
                }
            )
            for each in processed.renditions
        ),
    )


def refusal_of(error: errors.Refused, nonce: str) -> Refusal:
    """Build the message for a refusal."""
    value = error.value
    return Refusal(
        nonce=nonce,
        code=error.code,
        detail=error.detail[:_MAX_DETAIL],
        limit=_number(error.limit),
        value=(printable(value, _MAX_VALUE) or None) if isinstance(value, str) else _number(value),
    )


def _number(number: float | None) -> float | None:
    """Convert a number to the range of `Number`; None if it is too large."""
    if number is None or abs(number) > _MAX_FLOAT:
        return None
    # A header of 2^31 x 2^31 pixels and 2^32 frames makes a product of 94 bits.
    return number if abs(number) <= _MAX_INT else float(number)


def error_of(refusal: Refusal) -> errors.Refused:
    """Convert a refusal to an error; raises BrokenProtocol for a code that no child may send."""
    kind = REFUSALS.get(refusal.code)
    if kind is None:
        raise BrokenProtocol("a refusal with a code that children do not use")
    # The text goes into logs and headers, and a child that was taken over may have written it.
    detail = "".join(each for each in refusal.detail if each.isprintable())
    return kind(detail, limit=refusal.limit, value=refusal.value)
