"""Detection of damage in JPEG and TIFF files.

libjpeg and libtiff fill missing pixels, continue, and report that only on standard error. So only a
child can detect damage: its standard error is a file that no other process writes to. No decoder
notices a flipped bit that leaves the code valid; only a checksum does (docs/formats.md).
"""

import re
from dataclasses import replace

from processors.codecs.formats import JPEG
from processors.codecs.jpeg import is_a_hole, is_arithmetic, is_padding
from processors.codecs.tiff.fax import DAMAGED_CODES
from processors.errors import Damaged, Truncated
from processors.job import Processed
from processors.settings import Limits

_ENDED = b"premature end"
# Warnings of libjpeg (jerror.h) that mean damaged pixels. Extraneous bytes mean damage only in
# front of a restart marker or the end, where a broken code left them. Elsewhere, some cameras write
# extraneous bytes between tables.
_GUESSED = re.compile(
    rb"corrupt jpeg data: (?!\d+ extraneous)"
    rb"|corrupt jpeg data: \d+ extraneous bytes before marker 0xd[0-79]"
    rb"|inconsistent progression|premature end|" + DAMAGED_CODES
)
_BEHIND = re.compile(rb"corrupt jpeg data: (\d+) extraneous bytes before marker 0xd9")
_QUOTED = 60


def judged(processed: Processed, warnings: bytes, limits: Limits, data: bytes) -> Processed:
    """Return the result, marked as damaged if the decoder's warnings mean damage.

    `data` is the file. Raises Truncated, and Damaged if the settings refuse damaged images.
    """
    warning = _GUESSED.search(text := warnings.lower())
    if processed.facts.format == JPEG.name:
        if warning or is_arithmetic(data):
            warning = _of_jpeg(warning, text, data, limits)
    elif _ENDED in text:
        raise Truncated("the file ends before its pixels do")
    if warning is None:
        return processed
    if limits.damaged == "refuse":
        line = warnings[warning.start() :].splitlines()[0][:_QUOTED].decode("ascii", "replace")
        raise Damaged(f"a part of the image is damaged: {line}", value=line)
    details = replace(processed.facts.details, damaged=True)
    return replace(processed, facts=replace(processed.facts, details=details))


def _of_jpeg(
    warning: re.Match[bytes] | None, text: bytes, data: bytes, limits: Limits
) -> re.Match[bytes] | None:
    if _ENDED in text and not is_a_hole(data, limits):
        raise Truncated("the file ends before its pixels do")
    behind = warning and _BEHIND.match(text, warning.start())
    if warning and not behind:
        return warning
    return None if is_padding(data, int(behind[1]) if behind else 0, limits) else warning
