"""EXIF reader (JEITA CP-3451F, EXIF 3.0) for the camera and exposure columns.

The input may be hostile, so the reader is bounded: three directories, a limited number of entries,
and only the tags that become columns. Values that are out of range, of another type or behind the
end of the block are ignored, so bad EXIF never fails an image.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field, NaiveDatetime

from processors.untrusted_text import MAX_NAME, Name, printable

Positive = Annotated[float, Field(gt=0, le=1e6)]

_PREFIX = b"Exif\0\0"
_ORDERS = {b"II": "<", b"MM": ">"}
_CLASSIC = 42
_MAX_ENTRIES = 1000  # a camera writes about 60 into the largest directory
_MAX_VALUES = 3  # degrees, minutes, seconds
_MAKE, _MODEL, _EXIF, _GPS = 0x010F, 0x0110, 0x8769, 0x8825
_EXPOSURE, _F_NUMBER, _ISO, _FOCAL_LENGTH, _LENS = 0x829A, 0x829D, 0x8827, 0x920A, 0xA434
_TAKEN, _TAKEN_OFFSET, _TAKEN_FRACTION = 0x9003, 0x9011, 0x9291
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = 1, 2, 3, 4, 5, 6
_TEXTS = {2, 129}  # ASCII, UTF-8
_NUMBERS = {1: "B", 3: "H", 4: "I", 5: "II", 9: "i", 10: "ii", 13: "I"}
_BELOW_THE_SEA = {1, 3}
_INLINE_BYTES = 4
_CLOCK = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)", re.ASCII)
_DIGITS = re.compile(r"\d+", re.ASCII)
_OFFSET = re.compile(r"([+-])([01]\d|2[0-3]):([0-5]\d)")
_EARLIEST_YEAR = 1826  # year of the first photograph


def _whole_milliseconds(moment: datetime) -> datetime:
    """Return the time; raises ValueError for a time finer than the column's milliseconds."""
    if moment.microsecond % 1000:
        raise ValueError("a time of whole milliseconds")
    return moment


@dataclass(frozen=True, slots=True)
class Exif:
    """Camera, exposure, time and place of a photograph; None for missing or impossible values.

    `taken_at` is the time of the camera's clock; `taken_at` minus `taken_offset_minutes` is UTC.
    `taken_text` is the text in the file if it is not a possible time. Latitude and longitude are in
    degrees, north and east positive; altitude is in metres above sea level.
    """

    camera_make: Name | None = None
    camera_model: Name | None = None
    lens: Name | None = None
    exposure_seconds: Positive | None = None
    f_number: Positive | None = None
    iso: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    focal_length_mm: Positive | None = None
    taken_at: Annotated[NaiveDatetime, AfterValidator(_whole_milliseconds)] | None = None
    taken_offset_minutes: Annotated[int, Field(gt=-1440, lt=1440)] | None = None
    gps_latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    gps_longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    gps_altitude: Annotated[float, Field(ge=-1e6, le=1e6)] | None = None
    taken_text: Name | None = None


NOTHING = Exif()


def read_exif(block: bytes) -> Exif:
    """Parse an EXIF block, with or without its `Exif` prefix, or a whole TIFF file."""
    if not block:
        return NOTHING
    tiff = memoryview(block)[len(_PREFIX) if block.startswith(_PREFIX) else 0 :]
    order = _ORDERS.get(bytes(tiff[:2]))
    if order is None:
        return NOTHING
    try:
        version, first = struct.unpack_from(order + "HI", tiff, 2)
    except struct.error:
        return NOTHING
    if version != _CLASSIC:
        return NOTHING
    image = _Directory(tiff, order, first)
    return _exif_of(image, image.inner(_EXIF), image.inner(_GPS))


def _exif_of(image: "_Directory", exif: "_Directory", gps: "_Directory") -> Exif:
    latitude = _degrees(gps, _LATITUDE, _LATITUDE_REF, "NS", 90)
    longitude = _degrees(gps, _LONGITUDE, _LONGITUDE_REF, "EW", 180)
    iso = exif.number(_ISO)
    moment = _moment(exif)
    return Exif(
        camera_make=image.text(_MAKE),
        camera_model=image.text(_MODEL),
        lens=exif.text(_LENS),
        exposure_seconds=_positive(exif.number(_EXPOSURE)),
        f_number=_positive(exif.number(_F_NUMBER)),
        iso=int(iso) if iso is not None and 1 <= iso < 2**31 else None,
        focal_length_mm=_positive(exif.number(_FOCAL_LENGTH)),
        taken_at=moment,
        taken_offset_minutes=_offset(exif.text(_TAKEN_OFFSET)) if moment else None,
        # A position needs both latitude and longitude.
        gps_latitude=latitude if longitude is not None else None,
        gps_longitude=longitude if latitude is not None else None,
        gps_altitude=_altitude(gps),
        taken_text=None if moment else _written(exif.text(_TAKEN)),
    )


class _Directory:
    """EXIF directory: offsets of values by tag; empty if the directory cannot be read."""

    def __init__(self, tiff: memoryview, order: str, at: int) -> None:
        self._tiff = tiff
        self._order = order
        self._entries = dict(self._read(at)) if at > 0 else {}

    def inner(self, tag: int) -> "_Directory":
        """Directory that a tag points to."""
        return _Directory(self._tiff, self._order, int(self.number(tag) or 0))

    def text(self, tag: int) -> str | None:
        kind, count, at = self._entries.get(tag, (0, 0, 0))
        if kind not in _TEXTS:
            return None
        # A character takes at most 4 bytes in UTF-8.
        raw = bytes(self._tiff[at : at + min(count, 4 * MAX_NAME)])
        return printable(raw.partition(b"\0")[0].decode("utf-8", "replace"), MAX_NAME) or None

    def number(self, tag: int) -> float | None:
        values = self.numbers(tag)
        return values[0] if values else None

    def numbers(self, tag: int) -> list[float]:
        """First values of a tag, at most three; none if a fraction has a denominator of 0."""
        kind, count, at = self._entries.get(tag, (0, 0, 0))
        shape = _NUMBERS.get(kind)
        if shape is None:
            return []
        parts = shape * min(count, _MAX_VALUES)
        try:
            values = struct.unpack_from(self._order + parts, self._tiff, at)
        except struct.error:
            return []
        if len(shape) == 1:
            return [float(each) for each in values]
        pairs = list(zip(values[::2], values[1::2], strict=True))
        return [above / below for above, below in pairs] if all(b for _, b in pairs) else []

    def _read(self, at: int) -> Iterator[tuple[int, tuple[int, int, int]]]:
        """Yield tag, and type, number and offset of its values."""
        try:
            (entries,) = struct.unpack_from(self._order + "H", self._tiff, at)
        except struct.error:
            return
        entry = struct.Struct(self._order + "HHII")
        end = at + 2 + min(entries, _MAX_ENTRIES) * entry.size
        table = self._tiff[at + 2 : end]
        used = len(table) // entry.size * entry.size
        for n, (tag, kind, count, where) in enumerate(entry.iter_unpack(table[:used])):
            size = count * (1 if kind in _TEXTS else struct.calcsize("=" + _NUMBERS.get(kind, "")))
            # A value of up to four bytes is stored in the entry itself.
            inline = at + 2 + n * entry.size + entry.size - _INLINE_BYTES
            yield tag, (kind, count, inline if size <= _INLINE_BYTES else where)


def _positive(value: float | None) -> float | None:
    return value if value is not None and 0 < value <= 1e6 else None  # noqa: PLR2004 - `Positive`


def _written(text: str | None) -> str | None:
    """Return the text of a time; None without a digit: blanks mean an unknown time."""
    return text if text and any(each.isdigit() for each in text) else None


def _moment(exif: _Directory) -> datetime | None:
    # `strptime` is not used: it imports a module at its first use, and a child can open no file.
    clock = _CLOCK.match(exif.text(_TAKEN) or "")
    if clock is None:
        return None
    try:
        moment = datetime(*map(int, clock.groups()))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None
    # Times before the first photograph or more than a year ahead are wrong.
    if not _EARLIEST_YEAR <= moment.year <= datetime.now(UTC).year + 1:
        return None
    fraction = _DIGITS.match(exif.text(_TAKEN_FRACTION) or "")
    # Digits behind the decimal point: "5" is half a second.
    milliseconds = int(fraction[0][:3].ljust(3, "0")) if fraction else 0
    return moment.replace(microsecond=1000 * milliseconds)


def _offset(text: str | None) -> int | None:
    """Minutes of an offset `+hh:mm`."""
    parts = _OFFSET.fullmatch(text or "")
    if parts is None:
        return None
    minutes = 60 * int(parts[2]) + int(parts[3])
    return -minutes if parts[1] == "-" else minutes


def _degrees(gps: _Directory, tag: int, ref: int, signs: str, most: int) -> float | None:
    parts = gps.numbers(tag)
    side = (gps.text(ref) or "")[:1].upper()
    if len(parts) != _MAX_VALUES or side not in signs or not side:
        return None
    value = parts[0] + parts[1] / 60 + parts[2] / 3600
    if not 0 <= value <= most:
        return None
    return -value if side == signs[1] else value


def _altitude(gps: _Directory) -> float | None:
    metres = gps.number(_ALTITUDE)
    if metres is None or abs(metres) > 1e6:  # noqa: PLR2004 - limit of the field
        return None
    below = gps.number(_ALTITUDE_REF) in _BELOW_THE_SEA
    return -metres if below else metres
