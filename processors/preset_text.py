"""Text of a preset: JSON of bounded size, in which no name is repeated."""

import json
from typing import Any

from processors.errors import InvalidPreset

MAX_PRESET_BYTES = 262_144
"""Largest preset as JSON without white space: enough for three watermarks of the largest size."""

MAX_PRESET_TEXT = 8 * MAX_PRESET_BYTES
"""Largest text of a preset; white space of indented JSON takes up to six times its other bytes."""

_WHITE_SPACE = b" \t\r\n"


def read_preset(data: bytes) -> dict[str, Any]:
    """Parse the fields of a preset; raises InvalidPreset."""
    if len(data) > MAX_PRESET_TEXT:
        raise text_too_large(len(data))
    check_size(len(data.translate(None, _WHITE_SPACE)))
    try:
        fields = json.loads(data, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise InvalidPreset("the preset is not a JSON object") from None
    if not isinstance(fields, dict):
        raise InvalidPreset("the preset is not a JSON object")
    return fields


def check_size(size: int) -> None:
    """Check the size of JSON without white space; raises InvalidPreset."""
    if size > MAX_PRESET_BYTES:
        raise InvalidPreset("the preset is too large", limit=MAX_PRESET_BYTES, value=size)


def text_too_large(size: int) -> InvalidPreset:
    """Build the error of a text that has more than MAX_PRESET_TEXT bytes."""
    message = "the text of the preset is too large, with white space"
    return InvalidPreset(message, limit=MAX_PRESET_TEXT, value=size)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Hook for json.loads that raises InvalidPreset for repeated names."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise InvalidPreset(f"the field {name[:64]!r} is repeated")
        members[name] = value
    return members
