"""Text that strangers wrote, into a file or into a picture: cut, and without what does not print.

It ends in rows, logs and pages. What is left is still a stranger's: nobody may run or trust it.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

MAX_NAME = 100
"""Longest text of a camera or lens, in characters."""

MAX_CODE = 1000
"""Longest text of a QR or bar code, in characters; the largest QR code holds 4,296."""


def printable(text: str, longest: int) -> str:
    """`text` on one line: white space as spaces, no controls and no turned direction; cut."""
    kept = (each if each.isprintable() else " " if each.isspace() else "" for each in text)
    return "".join(kept).strip()[:longest]


def _check(text: str) -> str:
    if not text.isprintable():
        raise ValueError("text that does not print")
    return text


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_check)]
"""What a camera or lens is called."""

CodeText = Annotated[str, Field(max_length=MAX_CODE), AfterValidator(_check)]
"""What a QR or bar code says."""
