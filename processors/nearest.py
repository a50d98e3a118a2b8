"""Hints for refused unknown names of presets, headers, parameters and fields."""

import difflib
from collections.abc import Collection, Iterable

# Longest part of a name that is compared and shown.
_MAX_SHOWN = 64


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the nearest known name, empty if none is near."""
    lower = {each.lower(): each for each in sorted(known)}
    near = difflib.get_close_matches(name[:_MAX_SHOWN].lower(), lower, 1)
    return f"; did you mean {lower[near[0]]}?" if near else ""


def unknown(kind: str, name: str, known: Collection[str]) -> str:
    """Build the message for an unknown name: the nearest known name, or all if none is near."""
    hint = did_you_mean(name, known) or f"; known names: {', '.join(sorted(known)) or 'none'}"
    return f"unknown {kind} {name[:_MAX_SHOWN]!r}{hint}"
