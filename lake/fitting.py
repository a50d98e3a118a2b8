"""Whether a table's columns hold a record: proven before it is written, mended when it is read.

A record that no row can be made of would fail every row that shares its journal object, and each
later attempt to make its row. So none is written; and one that an earlier version has written is
read with null where a nullable column does not hold its number.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache

import pyarrow as pa
from pydantic import BaseModel, TypeAdapter

from lake.errors import UnreadableObject, UnstorableRow
from lake.schema import RECORD, ImageRecord
from lake.tables import IMAGE_TABLE, REJECTION_TABLE, Journaled, Rejected, Table

_REJECTED = TypeAdapter(Rejected)


def proven(record: Journaled) -> bytes:
    """The record as JSON; raises UnstorableRow unless row and JSON say exactly what it says.

    The row itself is not made here: what the columns hold and JSON says again always becomes one,
    as the tests of journal objects prove, and making it would double the cost.
    """
    image = isinstance(record, ImageRecord)
    wrong = misfits(record, IMAGE_TABLE if image else REJECTION_TABLE)
    if image:
        # A rejection's times are the store's clock, to the microsecond; its row cuts them.
        wrong += _inexact_times(record, IMAGE_TABLE)
    if wrong:
        raise UnstorableRow(f"no column holds its {', '.join(wrong)}", value=wrong[0])
    try:
        body = record.model_dump_json().encode()
        again = RECORD.validate_json(body) if image else _REJECTED.validate_json(body)
    except ValueError as error:
        raise UnstorableRow(f"the record can't be read again: {_first_line(error)}") from error
    if again != record:
        raise UnstorableRow("the record says something else when it is read again")
    return body


def mended(key: str, record: ImageRecord) -> ImageRecord:
    """The record with null for each number that its column does not hold.

    Raises UnreadableObject where the column may not be null.
    """
    if not (wrong := misfits(record, IMAGE_TABLE)):
        return record
    if not all(IMAGE_TABLE.columns.field(name).nullable for name in wrong):
        raise UnreadableObject(f"record {key}: no column holds its {', '.join(wrong)}", value=key)
    return record.model_copy(update=dict.fromkeys(wrong))


def _inexact_times(record: Journaled, of: Table) -> list[str]:
    """Names of the columns that would hold another time than the record says."""
    said = vars(record)
    return [
        name
        for name, zoned in _times_of(of).items()
        if said[name] is not None and not _exact(said[name], zoned=zoned)
    ]


def _exact(moment: datetime, *, zoned: bool) -> bool:
    """Whether a column of milliseconds, in UTC or as a clock showed it, holds the moment."""
    if moment.microsecond % 1000 or (moment.tzinfo is not None) != zoned:
        return False
    try:
        # Near the ends of the calendar a moment with an offset is in no year of UTC.
        moment.astimezone(UTC) if zoned else None
    except OverflowError:
        return False
    return True


@cache
def _times_of(of: Table) -> dict[str, bool]:
    """The columns of times, and whether they are in UTC."""
    times = (field for field in of.columns if pa.types.is_timestamp(field.type))
    return {field.name: field.type.tz is not None for field in times}


def misfits(record: Journaled, of: Table) -> list[str]:
    """Names of the columns that do not hold what the record says."""
    said = vars(record)
    return [name for name, ranges in _ranges_of(of).items() if not _held(said[name], ranges)]


_Range = tuple[int, int]
_Ranges = _Range | Mapping[str, _Range]
"""Of a column of whole numbers; of a list, by the names within one of its elements."""


def _held(value: object, ranges: _Ranges) -> bool:
    if value is None:
        return True
    if isinstance(ranges, tuple):
        return isinstance(value, int) and ranges[0] <= value <= ranges[1]
    elements: Sequence[BaseModel] = value  # type: ignore[assignment]  # as the schema says
    return all(_held(vars(one)[name], inner) for one in elements for name, inner in ranges.items())


@cache
def _ranges_of(of: Table) -> dict[str, _Ranges]:
    found: dict[str, _Ranges] = {}
    for field in of.columns:
        if pa.types.is_signed_integer(field.type):
            found[field.name] = _range(field.type)
        elif pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
            inner = {
                each.name: _range(each.type)
                for each in field.type.value_type
                if pa.types.is_signed_integer(each.type)
            }
            if inner:
                found[field.name] = inner
    return found


def _range(kind: pa.DataType) -> _Range:
    most = 2 ** (kind.bit_width - 1)
    return -most, most - 1


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
