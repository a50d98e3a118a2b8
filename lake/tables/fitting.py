"""Check that the columns of a table can hold a record, and repair of stored records.

A record that does not fit would fail every row in its journal object, and every later attempt to
make its row. So such a record is not written. If an earlier version has written one, numbers that
do not fit into a nullable column are read as null.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache

import pyarrow as pa
from pydantic import BaseModel, TypeAdapter

from lake.errors import UnreadableObject, UnstorableRow
from lake.tables.schema import RECORD, ImageRecord
from lake.tables.tables import IMAGE_TABLE, REJECTION_TABLE, Journaled, Rejected, Table

_REJECTED = TypeAdapter(Rejected)


def proven(record: Journaled) -> bytes:
    """Encode a record as JSON; raises UnstorableRow unless row and JSON can represent it exactly.

    The row itself is not made here, because that would double the cost. The tests of journal
    objects prove that every record that passes these checks becomes a row.
    """
    image = isinstance(record, ImageRecord)
    wrong = misfits(record, IMAGE_TABLE if image else REJECTION_TABLE)
    if image:
        # Times of a rejection have microseconds; its row cuts them.
        wrong += _inexact_times(record, IMAGE_TABLE)
    if wrong:
        raise UnstorableRow(f"values do not fit: {', '.join(wrong)}", value=wrong[0])
    try:
        body = record.model_dump_json().encode()
        again = RECORD.validate_json(body) if image else _REJECTED.validate_json(body)
    except ValueError as error:
        raise UnstorableRow(f"the record can't be read again: {_first_line(error)}") from error
    if again != record:
        raise UnstorableRow("the record changes when it is written and read")
    return body


def mended(key: str, record: ImageRecord) -> ImageRecord:
    """Replace each number that does not fit into its column by null.

    Raises UnreadableObject if the column is not nullable.
    """
    if not (wrong := misfits(record, IMAGE_TABLE)):
        return record
    if not all(IMAGE_TABLE.columns.field(name).nullable for name in wrong):
        raise UnreadableObject(f"record {key}: values do not fit: {', '.join(wrong)}", value=key)
    return record.model_copy(update=dict.fromkeys(wrong))


def _inexact_times(record: Journaled, of: Table) -> list[str]:
    """Names of the columns that can't hold the record's time exactly."""
    values = vars(record)
    return [
        name
        for name, zoned in _times_of(of).items()
        if values[name] is not None and not _exact(values[name], zoned=zoned)
    ]


def _exact(moment: datetime, *, zoned: bool) -> bool:
    """True if a column of milliseconds, in UTC or in local time, holds the time exactly."""
    if moment.microsecond % 1000 or (moment.tzinfo is not None) != zoned:
        return False
    try:
        # In the first and last year of the calendar, conversion to UTC can overflow.
        moment.astimezone(UTC) if zoned else None
    except OverflowError:
        return False
    return True


@cache
def _times_of(of: Table) -> dict[str, bool]:
    """Timestamp columns by name; True for a column in UTC, False for local time."""
    times = (field for field in of.columns if pa.types.is_timestamp(field.type))
    return {field.name: field.type.tz is not None for field in times}


def misfits(record: Journaled, of: Table) -> list[str]:
    """Names of the columns that can't hold the record's values."""
    values = vars(record)
    return [name for name, ranges in _ranges_of(of).items() if not _held(values[name], ranges)]


_Range = tuple[int, int]
_Ranges = _Range | Mapping[str, _Range]
"""Range of an integer column, or ranges by field name for a list of structs."""


def _held(value: object, ranges: _Ranges) -> bool:
    if value is None:
        return True
    if isinstance(ranges, tuple):
        return isinstance(value, int) and ranges[0] <= value <= ranges[1]
    elements: Sequence[BaseModel] = value  # type: ignore[assignment]  # as the schema says
    return all(
        _held(vars(element)[name], inner) for element in elements for name, inner in ranges.items()
    )


@cache
def _ranges_of(of: Table) -> dict[str, _Ranges]:
    by_name: dict[str, _Ranges] = {}
    for field in of.columns:
        if pa.types.is_signed_integer(field.type):
            by_name[field.name] = _range(field.type)
        elif pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
            inner = {
                each.name: _range(each.type)
                for each in field.type.value_type
                if pa.types.is_signed_integer(each.type)
            }
            if inner:
                by_name[field.name] = inner
    return by_name


def _range(kind: pa.DataType) -> _Range:
    most = 2 ** (kind.bit_width - 1)
    return -most, most - 1


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
