"""Client metadata of an image: short strings from headers or a form, with limits."""

import json
from collections.abc import Mapping

from starlette.datastructures import Headers

from processors.untrusted_text import (
    MAX_METADATA_BYTES,
    MAX_METADATA_ENTRIES,
    MAX_METADATA_VALUE_BYTES,
    METADATA_NAME,
    is_printable,
)
from serve_app.errors import InvalidMetadata
from serve_app.upload.filenames import percent_decoded

PREFIX = b"x-pixlake-meta-"


def from_headers(headers: Headers) -> dict[str, str]:
    """Parse `X-Pixlake-Meta-<name>` headers, percent-encoded UTF-8; raises InvalidMetadata."""
    found: dict[str, str] = {}
    for header, value in headers.raw:
        if header.startswith(PREFIX):
            name = header[len(PREFIX) :].decode("latin-1")
            if name in found:
                raise InvalidMetadata(f"metadata {name!r} is repeated", value=name)
            found[name] = percent_decoded(value)
    return found


def from_json(text: bytes) -> dict[str, str]:
    """Parse a JSON object of strings; raises InvalidMetadata."""
    try:
        found = json.loads(text, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise InvalidMetadata("the metadata is not JSON") from None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise InvalidMetadata("metadata must be a JSON object whose values are strings")
    return found


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Hook for json.loads that raises InvalidMetadata for repeated names."""
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidMetadata(f"metadata {name!r} is repeated", value=name)
        found[name] = value
    return found


def checked(*sources: Mapping[str, str]) -> dict[str, str]:
    """Merge metadata and check its limits; raises InvalidMetadata."""
    together: dict[str, str] = {}
    for source in sources:
        for name, value in source.items():
            if name in together:
                raise InvalidMetadata(f"metadata {name!r} is repeated", value=name)
            together[name] = value
    _within("entries", len(together), MAX_METADATA_ENTRIES)
    for name, value in together.items():
        _check_entry(name, value)
    total = sum(len(n.encode()) + len(v.encode()) for n, v in together.items())
    _within("bytes", total, MAX_METADATA_BYTES)
    return together


def _check_entry(name: str, value: str) -> None:
    if METADATA_NAME.fullmatch(name) is None:
        raise InvalidMetadata(f"a metadata name must match {METADATA_NAME.pattern}", value=name)
    if not is_printable(value):
        raise InvalidMetadata(f"metadata {name!r} has unprintable characters", value=name)
    _within(f"bytes in {name!r}", len(value.encode()), MAX_METADATA_VALUE_BYTES)


def _within(what: str, value: int, limit: int) -> None:
    if value > limit:
        raise InvalidMetadata(f"metadata has too many {what}", limit=limit, value=value)
