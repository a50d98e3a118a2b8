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
from processors.codec import OUTPUTS, OutputFormat
from processors.exif import Exif
from processors.formats import Format
from processors.job import Details, Facts, Measures, Processed, Rendition, Timings
from processors.preset import MAX_RENDITIONS, Preset
from processors.settings import Limits

LENGTH = struct.Struct(">I")
"""In front of every JSON header."""

NUMBER = struct.Struct("=i")
"""What the fork server says of a child: its process id, then its exit code or minus its signal."""

MAX_HEADER_BYTES = 65_536
"""A reply about 16 renditions has 4 KB; eight codes of 1,000 characters add at most 32."""

_MAX_MESSAGE = 300
# An encoder adds to the pixels at most its own headers.
_ENCODED_OVERHEAD = 65_536
_BYTES_A_PIXEL = 8  # 16 bits, with alpha


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


class Made(_Message):
    """One rendition; its bytes follow, `size` of them, in the order of the list."""

    name: str = Field(max_length=64)
    format: OutputFormat
    width: int = Field(ge=1, le=65_535)
    height: int = Field(ge=1, le=65_535)
    size: int = Field(ge=1)


class Answer(_Message):
    """The image is processed."""

    kind: Literal["answer"] = "answer"
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    orientation: int = Field(ge=1, le=8)
    frames: int = Field(ge=1)
    has_alpha: bool
    details: Details
    exif: Exif
    measures: Measures
    process_ms: float = Field(ge=0)
    timings: Timings
    renditions: Annotated[tuple[Made, ...], Field(strict=False)] = Field(max_length=MAX_RENDITIONS)


class Refusal(_Message):
    """The image is refused, by the code of `processors.errors`."""

    kind: Literal["refusal"] = "refusal"
    code: str = Field(max_length=64)
    message: str = Field(max_length=_MAX_MESSAGE)
    limit: int | float | None = None
    value: int | float | Annotated[str, Field(max_length=64)] | None = None


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


def request_of(size: int, preset: Preset) -> bytes:
    """A request, ready to send."""
    return framed(Request(size=size, preset=_preset_text(preset)))


# A deployment has a handful, and one image after another uses the same.
_preset_text: Callable[[Preset], str] = lru_cache(maxsize=64)(Preset.model_dump_json)


def parse_reply(text: bytes) -> Reply:
    """Raises BrokenProtocol."""
    try:
        return _REPLY.validate_json(text)
    except ValidationError as error:
        raise BrokenProtocol(f"a reply with {error.error_count()} faults") from error


def parse_ready(text: bytes) -> Ready:
    """Raises BrokenProtocol."""
    try:
        return Ready.model_validate_json(text)
    except ValidationError as error:
        raise BrokenProtocol("the child did not report ready") from error


def answer_of(processed: Processed) -> Answer:
    """What is said of a result; its bytes follow separately."""
    facts = processed.facts
    return Answer(
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


def refusal_of(error: errors.Refused) -> Refusal:
    """What is said of a refusal."""
    return Refusal(
        code=error.code, message=str(error)[:_MAX_MESSAGE], limit=error.limit, value=error.value
    )


def error_of(refusal: Refusal) -> errors.Refused:
    """The refusal as an error to raise; raises BrokenProtocol for a code that no child may use."""
    kind = _REFUSALS.get(refusal.code)
    if kind is None:
        raise BrokenProtocol("a refusal with a code that children do not use")
    # It ends in logs and headers, and may come from a child that is not ours any more.
    message = "".join(each for each in refusal.message if each.isprintable())
    return kind(message, limit=refusal.limit, value=refusal.value)


def check_answer(answer: Answer, preset: Preset, limits: Limits) -> None:
    """Raises BrokenProtocol unless the request can have led to this, so that sizes are safe."""
    pixels = answer.width * answer.height * answer.frames
    if max(answer.width, answer.height) > limits.max_side or pixels > limits.max_pixels:
        raise BrokenProtocol("an image beyond the limits")
    if len(answer.renditions) != len(preset.renditions):
        raise BrokenProtocol("another number of renditions than asked for")
    for made, spec in zip(answer.renditions, preset.renditions, strict=True):
        if made.name != spec.name or made.format not in spec.outputs:
            raise BrokenProtocol("another rendition than asked for")
        if made.size > made.width * made.height * _BYTES_A_PIXEL + _ENCODED_OVERHEAD:
            raise BrokenProtocol("a rendition larger than its pixels")


def processed_of(answer: Answer, found: Format, blobs: list[bytes]) -> Processed:
    """The result, from an answer that was checked and the bytes that followed it."""
    return Processed(
        facts=Facts(
            format=found.name,
            content_type=found.content_type,
            extension=found.extension,
            width=answer.width,
            height=answer.height,
            orientation=answer.orientation,
            frames=answer.frames,
            has_alpha=answer.has_alpha,
            details=answer.details,
            exif=answer.exif,
        ),
        measures=answer.measures,
        renditions=tuple(
            _rendition(made, data) for made, data in zip(answer.renditions, blobs, strict=True)
        ),
        process_ms=answer.process_ms,
        timings=answer.timings,
    )


def _rendition(made: Made, data: bytes) -> Rendition:
    output = OUTPUTS[made.format]
    return Rendition(
        name=made.name,
        format=output.name,
        content_type=output.content_type,
        extension=output.extension,
        width=made.width,
        height=made.height,
        data=data,
    )
