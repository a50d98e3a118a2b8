"""Text of what pydantic finds wrong in the JSON of a preset."""

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ValidationError

from processors.nearest import did_you_mean
from processors.operations import OPERATIONS
from processors.preset import Preset, RenditionSpec

_MAX_FAULTS, _MAX_SAID = 5, 500


def faults_of(error: ValidationError) -> str:
    """Describe the first faults of a preset, with the nearest known name of an unknown field."""
    faults = error.errors(include_input=False, include_url=False)
    texts = [_fault(fault["type"], fault["loc"], fault["msg"]) for fault in faults[:_MAX_FAULTS]]
    others = len(faults) - len(texts)
    # Names of unknown fields come from the JSON and may be very long.
    return ("; ".join(texts) + (f"; and {others} more" if others else ""))[:_MAX_SAID]


def _fault(kind: str, place: tuple[int | str, ...], message: str) -> str:
    """Text of one fault; for an unknown field, with the name of the nearest known field."""
    if kind == "extra_forbidden":
        *above, name = map(str, place)
        message = f"no such field{did_you_mean(name, _fields(above))}"
    return f"{'.'.join(map(str, place))}: {message}"


def _fields(place: Sequence[str]) -> Iterable[str]:
    """Names of the fields of the object at this place in a preset."""
    if not place:
        return Preset.model_fields
    kind: type[BaseModel] = OPERATIONS.get(place[-1], RenditionSpec)
    return kind.model_fields
