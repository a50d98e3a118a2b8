"""Everything that a sender can see of an image, as one text to compare."""

import hashlib

from processors.errors import Refused
from processors.job import Processed
from processors.pipeline import process
from processors.preset import Preset
from processors.settings import Limits

REFUSED = "refused: "


def answer(data: bytes, preset: Preset, limits: Limits) -> str:
    """Facts, measures and renditions, or the refusal with its text; without times."""
    try:
        return seen(process(data, preset, limits))
    except Refused as error:
        return refused(error)


def refused(error: Refused) -> str:
    """Format a refusal for comparison."""
    return REFUSED + repr((error.code, str(error), error.limit, error.value))


def seen(made: Processed) -> str:
    """Format a result for comparison; renditions by their SHA-256."""
    renditions = [
        (each.name, each.format, each.width, each.height, hashlib.sha256(each.data).hexdigest())
        for each in made.renditions
    ]
    return repr((made.facts, made.measures, renditions))
