"""Items of a batch, and the events by which readers of archives and forms report them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from starlette.datastructures import Headers

from lake.errors import CodedError
from serve_app.batch.errors import InvalidName
from serve_app.upload.checksums import Checksums

MAX_NAME = 1024
"""Longest name of an item, in bytes of UTF-8; every line repeats a name."""
_SEPARATORS = re.compile(r"[/\\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Item:
    """File of a batch as it begins; `fault` refuses it, whatever its bytes are."""

    name: str
    size: int | None = None
    """bytes of the file; None if they are not known before its end"""
    preset: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    checksums: Checksums = field(default_factory=lambda: Checksums.announced(Headers()))
    fault: CodedError | None = None


@dataclass(frozen=True, slots=True)
class End:
    """End of the file that began last."""


END = End()
Event = Item | bytes | memoryview | End
"""Begin of a file, a piece of it, or its end."""


class Reader(Protocol):
    """Reader of a batch: pass it the body in pieces, then call `finish`."""

    def feed(self, chunk: bytes) -> Iterable[Event]:
        """Parse the next piece; raises an ApiError for a fault after which nothing can be read."""

    def finish(self) -> None:
        """Check that the body is complete; raises an ApiError."""


def checked_name(raw: bytes) -> str:
    """Return the name of an item without leading `./`.

    The service uses no name as a path. Names that mean another place on some systems are refused,
    because the programs that read them later may. Raises InvalidName.
    """
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _refused("the name is not UTF-8", raw) from None
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    if not name:
        raise _refused("the name is empty", raw)
    if len(raw) > MAX_NAME:
        raise InvalidName("the name is too long, in bytes", limit=MAX_NAME, value=len(raw))
    if _CONTROL.search(name):
        raise _refused("the name has control characters", raw)
    if name[0] in "/\\" or _DRIVE.match(name):
        raise _refused("the name is absolute", raw)
    if ".." in _SEPARATORS.split(name):
        raise _refused("the name leads out of its folder", raw)
    return name


def _refused(detail: str, raw: bytes) -> InvalidName:
    return InvalidName(detail, value=raw.decode("utf-8", "replace")[:200])


def shown_name(raw: bytes) -> str:
    """Return a refused name as a line shows it: shortened, without invalid characters."""
    return raw.decode("utf-8", "replace")[:200]
