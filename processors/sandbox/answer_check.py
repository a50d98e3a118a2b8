"""Validation of a child's answer: the parent accepts only answers that the request can lead to.

A child that a hostile image has taken over may send anything. The checks cost no more than the
bytes that were received.
"""

from collections.abc import Sequence

from processors.codecs.codec import LONGEST_SIDE, OUTPUTS
from processors.codecs.formats import HEAD_BYTES, Format, sniff
from processors.errors import Refused
from processors.job import Blob, Facts, Processed, Rendition
from processors.preset import Preset
from processors.sandbox.protocol import Answer, BrokenProtocol, Made
from processors.settings import Limits

# An encoded image is at most as large as its pixels and these headers.
_ENCODED_OVERHEAD = 65_536
_BYTES_A_PIXEL = 8  # 16 bits, with alpha
# Tolerance: a source that is decoded at 1/2 or less has sides that were rounded up.
_SLACK_PART, _SLACK_PIXELS = 64, 16


def check_answer(answer: Answer, preset: Preset, limits: Limits) -> None:
    """Raise BrokenProtocol unless the request can have led to this answer.

    Run it before the renditions are read, so that their sizes are safe.
    """
    # Frames do not count: a TIFF may have many pages, and only one is decoded.
    pixels = answer.width * answer.height
    if max(answer.width, answer.height) > limits.max_side or pixels > limits.max_pixels:
        raise BrokenProtocol("an image beyond the limits")
    if len(answer.renditions) != len(preset.renditions):
        raise BrokenProtocol("another number of renditions than the preset has")
    for made, spec in zip(answer.renditions, preset.renditions, strict=True):
        if made.name != spec.name or made.format not in spec.outputs:
            raise BrokenProtocol("a rendition that the preset does not have")
        _check_made(made, spec.size_after(answer.width, answer.height), limits)
    if sum(made.size for made in answer.renditions) > limits.max_output_bytes:
        raise BrokenProtocol("renditions of more bytes than the limit")


def _check_made(made: Made, expected: tuple[int, int], limits: Limits) -> None:
    """Raise BrokenProtocol for a rendition beyond the limits of preset, settings or format."""
    most = (side + side // _SLACK_PART + _SLACK_PIXELS for side in expected)
    if any(side > limit for side, limit in zip((made.width, made.height), most, strict=True)):
        raise BrokenProtocol("a rendition larger than its preset allows")
    pixels, longest = made.width * made.height, max(made.width, made.height)
    if pixels > limits.max_output_pixels or longest > LONGEST_SIDE[made.format]:
        raise BrokenProtocol("a rendition beyond the limits")
    if made.size > pixels * _BYTES_A_PIXEL + _ENCODED_OVERHEAD:
        raise BrokenProtocol("a rendition larger than its pixels")


def processed_of(answer: Answer, image_format: Format, blobs: Sequence[Blob]) -> Processed:
    """Build the result from a checked answer and the bytes of its renditions.

    Raises BrokenProtocol for bytes of another format than the answer says.
    """
    return Processed(
        facts=Facts(
            format=image_format.name,
            content_type=image_format.content_type,
            extension=image_format.extension,
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
        raise BrokenProtocol(f"a rendition that is not {output.name}")
    return Rendition(
        name=made.name,
        format=output.name,
        content_type=output.content_type,
        extension=output.extension,
        width=made.width,
        height=made.height,
        data=data,
    )
