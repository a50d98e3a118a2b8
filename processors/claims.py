"""What the parent takes of a child's answer: only what the request can have led to.

A child that a hostile image has taken over may claim anything. Nothing here costs more than the
bytes that have come.
"""

from collections.abc import Sequence

from processors.codec import LONGEST_SIDE, OUTPUTS
from processors.errors import Refused
from processors.formats import HEAD_BYTES, Format, sniff
from processors.job import Blob, Facts, Processed, Rendition
from processors.preset import Preset
from processors.protocol import Answer, BrokenProtocol, Made
from processors.settings import Limits

# An encoder adds to the pixels at most its own headers.
_ENCODED_OVERHEAD = 65_536
_BYTES_A_PIXEL = 8  # 16 bits, with alpha
# A source that is decoded at a half or less has sides that were rounded up.
_SLACK_PART, _SLACK_PIXELS = 64, 16


def check_answer(answer: Answer, preset: Preset, limits: Limits, memory_bytes: int) -> None:
    """Raises BrokenProtocol unless the request can have led to this, so that sizes are safe.

    `memory_bytes` is what a child may have: it holds all of its renditions at once.
    """
    # Frames are not counted: the pages of a TIFF are not decoded, and no size follows from them.
    pixels = answer.width * answer.height
    if max(answer.width, answer.height) > limits.max_side or pixels > limits.max_pixels:
        raise BrokenProtocol("an image beyond the limits")
    if len(answer.renditions) != len(preset.renditions):
        raise BrokenProtocol("another number of renditions than asked for")
    for made, spec in zip(answer.renditions, preset.renditions, strict=True):
        if made.name != spec.name or made.format not in spec.outputs:
            raise BrokenProtocol("another rendition than asked for")
        _check_made(made, spec.size_after(answer.width, answer.height), limits)
    if sum(made.size for made in answer.renditions) > memory_bytes:
        raise BrokenProtocol("renditions larger than the memory that they were made in")


def _check_made(made: Made, expected: tuple[int, int], limits: Limits) -> None:
    """Whether a rendition is no larger than its preset, the settings and its format let it be."""
    most = (side + side // _SLACK_PART + _SLACK_PIXELS for side in expected)
    if any(side > limit for side, limit in zip((made.width, made.height), most, strict=True)):
        raise BrokenProtocol("a rendition larger than its preset makes it")
    pixels, longest = made.width * made.height, max(made.width, made.height)
    if pixels > limits.max_output_pixels or longest > LONGEST_SIDE[made.format]:
        raise BrokenProtocol("a rendition beyond the limits")
    if made.size > pixels * _BYTES_A_PIXEL + _ENCODED_OVERHEAD:
        raise BrokenProtocol("a rendition larger than its pixels")


def processed_of(answer: Answer, found: Format, blobs: Sequence[Blob]) -> Processed:
    """The result, from an answer that was checked and the bytes that followed it.

    Raises BrokenProtocol for bytes of another format than the answer says.
    """
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


def _found(data: Blob) -> Format | None:
    try:
        return sniff(bytes(memoryview(data)[:HEAD_BYTES]))
    except Refused:
        return None


def _rendition(made: Made, data: Blob) -> Rendition:
    output = OUTPUTS[made.format]
    if _found(data) is not output:
        raise BrokenProtocol(f"a rendition that is no {output.name}")
    return Rendition(
        name=made.name,
        format=output.name,
        content_type=output.content_type,
        extension=output.extension,
        width=made.width,
        height=made.height,
        data=data,
    )
