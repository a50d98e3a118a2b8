"""Conditional and partial reads (RFC 9110): ETags and one byte range."""

import re

from serve_app.errors import PreconditionFailed, RangeNotSatisfiable

# Entity tag: group 1 is the weak prefix, group 2 the opaque text.
_TAGS = re.compile(r'(W/)?"([^"]*)"')
# At most 15 digits, because int() of a very long text is slow.
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def matches(if_none_match: list[str], etag: str) -> bool:
    """True if If-None-Match names the version `etag` (weak comparison)."""
    together = ",".join(if_none_match)
    return together.strip() == "*" or etag.strip('"') in {tag for _, tag in _TAGS.findall(together)}


def check_if_match(sent: list[str], etag: str | None) -> None:
    """Raise PreconditionFailed unless If-Match names the version `etag` (strong comparison).

    `etag` is None for a resource without a tag; only `*` matches it.
    """
    together = ",".join(sent).strip()
    if not sent or together == "*":
        return
    # A weak tag never matches strongly (RFC 9110, 8.8.3.2).
    strong = {tag for weak, tag in _TAGS.findall(together) if not weak}
    if etag is None or etag.strip('"') not in strong:
        raise PreconditionFailed("If-Match names another version", value=together)


def wanted_range(
    sent: str | None, if_range: str | None, etag: str, size: int
) -> tuple[int, int] | None:
    """Return the requested bytes [start, end), or None for all bytes.

    A request for several ranges, or with a range that does not parse, gets all bytes. RFC 9110
    allows that, and many small ranges would cost more than they save. Raises RangeNotSatisfiable.
    """
    match = _RANGE.fullmatch(sent.strip()) if sent else None
    if match is None or (if_range is not None and if_range != etag):
        return None
    first, last = match[1], match[2]
    if not first and not last:
        return None
    start, end = (int(first), size) if first else (size - min(int(last), size), size)
    if first and last:
        if int(last) < start:
            return None
        end = min(int(last) + 1, size)
    if start >= size:
        raise RangeNotSatisfiable(
            "the range starts after the last byte",
            limit=size,
            value=str(sent),
        )
    return start, end
