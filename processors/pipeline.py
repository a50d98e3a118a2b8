"""Processing of one image, from bytes to `Processed`.

1. gate: size and magic bytes (`formats`)
2. header: dimensions, frames, orientation, profile, metadata; limits, those of the renditions
   included (`header_readers` and a module for each format)
3. decode: upright sRGB pixels, reduced if a smaller size suffices (`codec`)
4. measure: on a reduced copy (`measures`)
5. render: each rendition's operations, then its encoder (`operations`, `codec`)
"""

import math

import cv2

from processors.codecs.codec import (
    DEEP_OUTPUTS,
    LONGEST_SIDE,
    OUTPUTS,
    OutputFormat,
    Reduction,
    can_be_deep,
    decode,
    encode,
)
from processors.codecs.colour import profile_name
from processors.codecs.formats import check_bytes
from processors.codecs.header import Header
from processors.codecs.header_readers import read_header
from processors.codecs.truncation import ends_early
from processors.errors import OutputTooLarge, Truncated, Undecodable
from processors.image import Image
from processors.job import Details, Facts, Measures, Processed, Rendition
from processors.measures.measures import measure
from processors.operations import Operation
from processors.preset import Preset, RenditionSpec
from processors.preset_cost import check_work
from processors.settings import Limits
from processors.shortage import memory_or
from processors.stopwatch import Stopwatch

_REDUCTIONS: tuple[Reduction, ...] = (8, 4, 2)
# At least measures.MEASURED_SIDE, and equal to the width of the largest built-in rendition, so that
# one decode serves both.
_MEASURED_WIDTH = 1280


def process(data: bytes, preset: Preset, limits: Limits) -> Processed:
    """Process one image in this process.

    Raises Refused (fault of the image) and MemoryError. Untrusted bytes belong in the sandbox:
    decoders may crash, hang, or take memory until they are stopped from outside.
    """
    watch = Stopwatch()
    image_format = check_bytes(memoryview(data), limits)
    try:
        header = read_header(data, image_format, limits)
        _check_outputs(header, preset, limits)
        check_work(header, preset, limits)
        image, measures = _decoded(header, preset, limits, watch)
    except Undecodable as error:
        if ends_early(data, image_format):
            raise Truncated("the file ends before its pixels do") from error
        raise
    renditions = _renditions(image, preset, limits, watch)
    return Processed(
        facts=_facts(header),
        measures=measures,
        renditions=tuple(renditions),
        process_ms=watch.total_ms,
        timings=watch.timings,
    )


def _decoded(
    header: Header, preset: Preset, limits: Limits, watch: Stopwatch
) -> tuple[Image, Measures]:
    """Decode the image as large as the preset needs it, and measure it.

    Measures use a reduction that does not depend on the preset, so that rows are comparable. If the
    preset needs more pixels, the measures cost a second, cheap decode.
    """
    for_measures = _for_measures(header)
    for_renditions = _for_renditions(header, preset)
    deep = can_be_deep(header) and any(_keeps_depth(spec) for spec in preset.renditions)
    with watch.step("decode"):
        image = decode(header, min(for_measures, for_renditions), deep=deep)
        again = deep or for_measures > for_renditions
        measured = decode(header, for_measures) if again else image
    with watch.step("measure"):
        return image, _measured(measured, limits)


def _measured(image: Image, limits: Limits) -> Measures:
    try:
        return measure(image, codes=limits.codes, faces=limits.faces)
    except cv2.error as error:
        raise memory_or(error, error) from error


def _keeps_depth(spec: RenditionSpec) -> bool:
    """True if format and operations of a rendition keep 16 bits a sample."""
    return bool(spec.outputs & DEEP_OUTPUTS) and all(each.keeps_depth for each in spec.operations)


def _check_outputs(header: Header, preset: Preset, limits: Limits) -> None:
    """Raise OutputTooLarge for a rendition that would be too large; decodes nothing."""
    for spec in preset.renditions:
        width, height = header.displayed
        for operation in spec.operations:
            _check_input(operation, width, height)
            width, height = operation.size_after(width, height)
            _check_output(width, height, limits)  # a later step may shrink the image again
        _check_output(width, height, limits)
        longest = min(LONGEST_SIDE[each] for each in _possible(spec, header))
        if max(width, height) > longest:
            raise OutputTooLarge(
                f"rendition {spec.name} would have {width} x {height} pixels, a side in its format "
                f"has at most {longest}",
                limit=longest,
                value=max(width, height),
            )


def _possible(spec: RenditionSpec, header: Header) -> set[OutputFormat]:
    return spec.outputs if header.has_alpha else {spec.output(has_alpha=False)}


def _applied(operation: Operation, image: Image) -> Image:
    try:
        return operation(image)
    except cv2.error as error:
        raise memory_or(error, error) from error


def _check_input(operation: Operation, width: int, height: int) -> None:
    if operation.max_pixels is not None and (pixels := width * height) > operation.max_pixels:
        raise OutputTooLarge(
            f"{operation.op} accepts at most {operation.max_pixels} pixels and would get "
            f"{width} x {height}; scale the image down in an earlier step",
            limit=operation.max_pixels,
            value=pixels,
        )


def _check_output(width: int, height: int, limits: Limits) -> None:
    if (pixels := width * height) > limits.max_output_pixels:
        raise OutputTooLarge(
            f"a step would make {width} x {height} pixels, the limit is {limits.max_output_pixels}",
            limit=limits.max_output_pixels,
            value=pixels,
        )


def _for_measures(header: Header) -> Reduction:
    """Strongest reduction that leaves enough pixels to measure; independent of the preset."""
    return _strongest(header, _MEASURED_WIDTH / header.displayed[0])


def _for_renditions(header: Header, preset: Preset) -> Reduction:
    """Strongest reduction from which no rendition has to be scaled up."""
    if not preset.renditions:
        return _REDUCTIONS[0]
    width, height = header.displayed
    needed = max(
        spec.operations[0].scale_needed(width, height) if spec.operations else 1.0
        for spec in preset.renditions
    )
    return _strongest(header, needed)


def _strongest(header: Header, scale: float) -> Reduction:
    if not header.reducible:
        return 1
    # `nextafter` allows for rounding: a requested 1/2 of an odd side must still match 1/2.
    return next((each for each in _REDUCTIONS if math.nextafter(1 / each, 1) >= scale), 1)


def _facts(header: Header) -> Facts:
    width, height = header.displayed
    return Facts(
        format=header.format.name,
        content_type=header.format.content_type,
        extension=header.format.extension,
        width=width,
        height=height,
        orientation=header.orientation,
        frames=header.frames,
        has_alpha=header.has_alpha,
        exif=header.exif,
        details=Details(
            bit_depth=header.bit_depth,
            space=header.space,
            icc_name=profile_name(header.icc) if header.icc else None,
            duration_ms=header.duration_ms,
            gain_map=header.gain_map,
        ),
    )


def _renditions(image: Image, preset: Preset, limits: Limits, watch: Stopwatch) -> list[Rendition]:
    """Make all renditions; raises OutputTooLarge if they have too many bytes together."""
    made: list[Rendition] = []
    total = 0
    for spec in preset.renditions:
        made.append(_render(image, spec, limits, watch))
        total += len(made[-1].data)
        if total > limits.max_output_bytes:
            raise OutputTooLarge(
                f"the renditions have more than {limits.max_output_bytes} bytes",
                limit=limits.max_output_bytes,
                value=total,
            )
    return made


def _render(image: Image, spec: RenditionSpec, limits: Limits, watch: Stopwatch) -> Rendition:
    with watch.step("render"):
        if not _keeps_depth(spec):
            image = image.in_8_bits()
        for operation in spec.operations:
            _check_input(operation, image.width, image.height)
            image = _applied(operation, image)
            _check_output(image.width, image.height, limits)
    output = OUTPUTS[spec.output(has_alpha=image.has_alpha)]
    with watch.step("encode"):
        data = encode(image, spec.output(has_alpha=image.has_alpha), spec.quality, spec.background)
    return Rendition(
        name=spec.name,
        format=output.name,
        content_type=output.content_type,
        extension=output.extension,
        width=image.width,
        height=image.height,
        data=data,
    )
