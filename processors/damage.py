"""Damage that a decoder passes over: libjpeg fills what it cannot read with grey and goes on.

It tells on standard error and nowhere else, so only a child, whose standard error is a file that
nobody else writes to, can know. A flipped bit that leaves the code valid is seen by no decoder,
only by a checksum (docs/formats.md).
"""

from dataclasses import replace

from processors.errors import Damaged, Truncated
from processors.job import Processed
from processors.settings import Limits

_ENDED = b"premature end"
# The texts of libjpeg's other warnings (jerror.h) that are about pixels. "extraneous bytes" are as
# often harmless as they are what is left of a scan after a broken code.
_GUESSED = (b"corrupt jpeg data", b"inconsistent progression", b"invalid sos parameters")
_QUOTED = 60


def judged(processed: Processed, warnings: bytes, limits: Limits) -> Processed:
    """The result, marked as damaged if the decoder's warnings say so.

    Raises Truncated, and Damaged where the settings ask for it.
    """
    said = warnings.lower()
    if _ENDED in said:
        raise Truncated("the file ends before its pixels do")
    found = next((each for each in _GUESSED if each in said), None)
    if found is None:
        return processed
    if limits.damaged == "refuse":
        line = warnings[said.index(found) :].splitlines()[0][:_QUOTED].decode("ascii", "replace")
        raise Damaged(f"a part of the image is damaged: {line}", value=line)
    details = replace(processed.facts.details, damaged=True)
    return replace(processed, facts=replace(processed.facts, details=details))
