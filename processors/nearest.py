"""Hints for refused unknown names of presets, headers, parameters and fields."""

import difflib
from collections.abc import Collection, Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the nearest known name, empty if none is near."""
    lower = {each.lower(): each for each in sorted(known)}
    near = difflib.get_close_matches(name[:64].lower(), lower, 1)
    return f"; did you mean {lower[near[0]]}?" if near else ""


def instead(name: str, known: Collection[str]) -> str:
    """Return a hint with the nearest known name; if none is near, with all known names."""
    if hint := did_you_mean(name, known):
        return hint
    return f"; known names: {', '.join(sorted(known))}" if known else ", which takes none"
