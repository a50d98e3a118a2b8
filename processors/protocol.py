"""What parent and child say to each other: a JSON header after its length, then raw bytes.

No pickle: a child that a hostile image has taken over may send anything, and must gain nothing by
it. The parent takes only what these models allow and what the request can have led to.
"""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from processors import errors
from processors.codec import OutputFormat
from processors.exif import Exif
from processors.foreign_text import Name, printable
from processors.job import (
    Details,
    Measures,
    Milliseconds,
    Processed,
    Timings,
)
from processors.preset import MAX_RENDITIONS, Preset
from processors.settings import Limits

LENGTH = struct.Struct(">I")
"""In front of every JSON header."""

NUMBER = struct.Struct("=i")
"""What the fork server says of a child: its process id, then its exit code or minus its signal."""

MAX_HEADER_BYTES = 65_536
"""A reply about 16 renditions has 4 KB; eight codes of 1,000 characters add at most 32."""

_MAX_MESSAGE = 300
_MAX_VALUE = 64
Side = Annotated[int, Field(ge=1, le=65_535)]
"""A width or a height; no limit may be set higher."""
_MAX_INT, _MAX_FLOAT = 2**63 - 1, 1e300
Number = (
    Annotated[int, Field(ge=-_MAX_INT, le=_MAX_INT)]
    | Annotated[float, Field(ge=-_MAX_FLOAT, le=_MAX_FLOAT)]
)
"""A limit, or what was measured against it."""


class BrokenProtocol(Exception):
    """The child said what no child of ours says."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Start(_Message):
    """What a child is told at its birth; bytes of address space, its own and shared."""

    kind: Literal["start"] = "start"
    limits: Limits
    memory_bytes: int
    shared_bytes: int


Protections = dict[str, int | bool | str]
"""What keeps a child that is taken over from doing harm, by name."""


class Ready(_Message):
    """The child is warm and locked down; `protections` says by what."""

    kind: Literal["ready"] = "ready"
    protections: Protections = Field(max_length=32)


class Request(_Message):
    """One image: the first `size` bytes of the shared memory, and a preset as JSON.

    As text, so that a child can know again what it has read before.
    """

    kind: Literal["request"] = "request"
    size: int
    preset: str
    threads: bool = False
    """the image's decoder can't do without, and the child sees no other image"""
    nonce: str
    """has to come back with the answer: what was said before it is the answer to something else"""


class Made(_Message):
    """One rendition; its bytes follow, `size` of them, in the order of the list."""

    name: str = Field(max_length=64)
    format: OutputFormat
    width: Side
    height: Side
    size: int = Field(ge=1, lt=2**32)


Nonce = Annotated[str, Field(max_length=32)]


class Answer(_Message):
    """The image is processed."""

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
    """The image is refused, by the code of `processors.errors`."""

    kind: Literal["refusal"] = "refusal"
    nonce: Nonce
    code: str = Field(max_length=64)
    message: str = Field(max_length=_MAX_MESSAGE)
    limit: Number | None = None
    value: Number | Annotated[Name, Field(max_length=_MAX_VALUE)] | None = None


Reply = Answer | Refusal
_REPLY: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="kind")])

_REFUSALS: dict[str, type[errors.Refused]] = {
    each.code: each
    for each in (
        errors.Truncated,
        errors.Undecodable,
        errors.UnsupportedFormat,
        errors.NotAnImage,
        errors.TooManyPixels,
        errors.SideTooLong,
        errors.TooManyScans,
        errors.TooMuchMetadata,
        errors.OutputTooLarge,
        errors.Damaged,
        errors.DecoderMemory,
    )
}
"""What a child may answer; the other faults are the parent's to find."""


def message_of(message: BaseModel) -> bytes:
    """JSON."""
    return message.model_dump_json().encode()


def framed(message: BaseModel) -> bytes:
    """Length and JSON, ready to send."""
    text = message_of(message)
    return LENGTH.pack(len(text)) + text


def request_of(size: int, preset: Preset, nonce: str, *, threads: bool = False) -> bytes:
    """A request, ready to send."""
    text = _preset_text(preset)
    return framed(Request(size=size, preset=text, threads=threads, nonce=nonce))


# A deployment has a handful, and one image after another uses the same.
_preset_text: Callable[[Preset], str] = lru_cache(maxsize=64)(Preset.model_dump_json)


def parse_reply(text: bytes) -> Reply:
    """Raises BrokenProtocol."""
    try:
        return _REPLY.validate_json(text)
    except ValidationError as error:
        # Not the faults themselves: as text they take sixty times the bytes of the reply.
        raise BrokenProtocol(f"a reply with {error.error_count()} faults") from None


def parse_ready(text: bytes) -> Ready:
    """Raises BrokenProtocol."""
    try:
        return Ready.model_validate_json(text)
    except ValidationError:
        raise BrokenProtocol("the child did not report ready") from None


def answer_of(processed: Processed, nonce: str) -> Answer:
    """What is said of a result; its bytes follow separately."""
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
    """What is said of a refusal."""
    value = error.value
    return Refusal(
        nonce=nonce,
        code=error.code,
        message=str(error)[:_MAX_MESSAGE],
        limit=_number(error.limit),
        value=(printable(value, _MAX_VALUE) or None) if isinstance(value, str) else _number(value),
    )


def _number(number: float | None) -> float | None:
    """The number as it may be said; None for one that is too large."""
    if number is None or abs(number) > _MAX_FLOAT:
        return None
    # A header of 2^31 x 2^31 pixels and 2^32 frames makes a product of 94 bits.
    return number if abs(number) <= _MAX_INT else float(number)


def error_of(refusal: Refusal) -> errors.Refused:
    """The refusal as an error to raise; raises BrokenProtocol for a code that no child may use."""
    kind = _REFUSALS.get(refusal.code)
    if kind is None:
        raise BrokenProtocol("a refusal with a code that children do not use")
    # It ends in logs and headers, and may come from a child that is not ours any more.
    message = "".join(each for each in refusal.message if each.isprintable())
    return kind(message, limit=refusal.limit, value=refusal.value)
