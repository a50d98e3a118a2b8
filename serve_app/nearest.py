"""Hint of a refusal of an unknown name, the same at all places of the API."""

from collections.abc import Collection

from processors.preset import did_you_mean


def instead(name: str, known: Collection[str]) -> str:
    """Return the nearest known name; if none is near, all of them."""
    if hint := did_you_mean(name, known):
        return hint
    return f"; it takes {', '.join(sorted(known))}" if known else ", which takes none"
