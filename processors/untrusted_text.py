"""Cleaning and limits of untrusted text from clients, files and pictures.

The cleaned text goes into rows, logs and pages, and is still untrusted.
"""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

MAX_NAME = 100
"""Longest camera or lens name, in characters."""

_MAX_EVIDENCE = 300

MAX_CODE = 1000
"""Longest text of a QR or bar code, in characters; the largest QR code holds 4,296."""


MAX_FILENAME = 255
"""Longest file name, in bytes of UTF-8; the limit of most file systems."""

METADATA_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Name of an entry of an image's metadata, from HTTP and Kafka."""

# Every row has the metadata. For comparison, S3 allows 2 KB.
MAX_METADATA_ENTRIES = 32
MAX_METADATA_VALUE_BYTES = 1024
MAX_METADATA_BYTES = 8192
"""Longest metadata, names included; for Kafka all headers that Pixlake reads."""

# A longer ending is not treated as an extension.
_MAX_EXTENSION = 32
# Unicode categories: controls, formats (such as RTL override), surrogates, line and paragraph
# separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Emoji modifiers (skin tones) change the character before them.
_MODIFIERS = range(0x1F3FB, 0x1F400)
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)


def clean_filename(name: str) -> str | None:
    """Reduce a path to a printable file name of at most 255 bytes; None if nothing is left.

    A longer name loses the end of its stem and keeps its extension.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(c for c in last if unicodedata.category(c) not in _UNPRINTABLE)
    text = _shortened(unicodedata.normalize("NFC", kept).strip()).strip()
    return None if text in {"", ".", ".."} else text


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_FILENAME:
        return name
    stem, dot, extension = name.rpartition(".")
    ending = (dot + extension).encode() if stem else b""
    if len(ending) > _MAX_EXTENSION:
        stem, ending = name, b""
    return _whole_letters(stem or name, MAX_FILENAME - len(ending)) + ending.decode()


def _whole_letters(text: str, limit: int) -> str:
    """Longest prefix of `text` within `limit` bytes that does not split a letter from its marks."""
    short = text.encode()[:limit].decode(errors="ignore")
    end = len(short)
    while 0 < end < len(text) and _continues(text, end):
        end -= 1
    return text[:end]


def _continues(text: str, place: int) -> bool:
    """True if the character at `place` belongs to the one before it."""
    letter = ord(text[place])
    if letter in _FLAG_LETTERS:
        before = place
        while before and ord(text[before - 1]) in _FLAG_LETTERS:
            before -= 1
        return (place - before) % 2 == 1
    return letter in _MODIFIERS or unicodedata.category(text[place])[0] == "M"


def is_printable(text: str) -> bool:
    """True if metadata may have the text: printable characters and tabs.

    Other control characters and lone surrogates could harm a terminal or a CSV file.
    """
    return all(c.isprintable() or c == "\t" for c in text)


def printable(text: str, longest: int) -> str:
    """Convert `text` to one line of at most `longest` characters.

    White space becomes spaces; control characters are removed.
    """
    kept = (each if each.isprintable() else " " if each.isspace() else "" for each in text)
    return "".join(kept).strip()[:longest]


def evidence(error: BaseException) -> str:
    """Type and text of an exception, safe for logs, rows and headers."""
    return printable(f"{type(error).__name__}: {error}", _MAX_EVIDENCE)


def _check(text: str) -> str:
    if not text.isprintable():
        raise ValueError("the text has characters that are not printable")
    return text


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_check)]
"""Name of a camera or lens."""

CodeText = Annotated[str, Field(max_length=MAX_CODE), AfterValidator(_check)]
"""Text of a QR or bar code."""
