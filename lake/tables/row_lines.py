"""Rows as lines of JSON, for journal objects with few rows.

Writing a line takes microseconds; an Arrow file of one row takes 30 times as long, mostly for its
sixty columns. Lines of many objects can be joined and parsed together. Lines have exactly the
content of the Arrow file; a record that JSON can't represent exactly is not written as a line.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from pydantic import BaseModel
from pydantic_core import to_json

from lake.tables.conforming import say_newer
from lake.tables.schema import NOT_IN_ROWS
from lake.tables.tables import Journaled, Table

_UTC = timedelta(0)


@dataclass(frozen=True, slots=True)
class _Form:
    """Columns of a table that need a check or a conversion before a record becomes a line."""

    ranges: tuple[tuple[str, int, int], ...]
    """integer columns, each with its smallest and largest value"""
    moments: tuple[tuple[str, timedelta | None], ...]
    """timestamp columns, each with the UTC offset that its values must have"""
    lists: tuple[tuple[str, "_Form"], ...]
    """list columns, each with the form of its elements"""
    maps: tuple[str, ...]
    """map columns, which Arrow's JSON reader reads as a list of pairs"""

    def fits(self, row: BaseModel) -> bool:
        """True if the columns can hold the record's integers and times exactly."""
        values = vars(row)
        for name, low, high in self.ranges:
            number = values[name]
            if number is not None and not low <= number <= high:
                return False
        for name, offset in self.moments:
            moment: datetime | None = values[name]
            if moment is not None and moment.utcoffset() != offset:
                return False
        for name, form in self.lists:
            for element in values[name] or ():
                if not form.fits(element):
                    return False
        return True

    def line(self, row: BaseModel) -> bytes:
        """Encode a record as a line with a newline."""
        # Null columns are omitted: for an image without EXIF data these are a third of the columns.
        text = row.model_dump_json(exclude={*NOT_IN_ROWS, *self.maps}, exclude_none=True)
        body = text.encode()
        for name in self.maps:
            pairs = [{"key": key, "value": value} for key, value in vars(row)[name].items()]
            body = b'%b,"%b":%b}' % (body[:-1], name.encode(), to_json(pairs))
        return body + b"\n"


def write_lines(records: Sequence[Journaled], of: Table) -> bytes | None:
    """Encode records as lines; None if JSON or the columns can't represent them exactly."""
    form = _form_of(of)
    if not all(map(form.fits, records)):
        return None
    lines = b"".join(map(form.line, records))
    # Null columns are omitted, so a null is a NaN, an infinity, or part of a text.
    return None if b":null" in lines else lines


def read_lines(data: bytes, of: Table) -> pa.Table:
    """Parse lines of any schema version to rows of this version.

    Raises ValueError, of which Arrow's errors are subclasses. The number of rows must equal the
    number of lines, so that a truncated object among several joined ones is detected.
    """
    data.decode()  # Arrow accepts text that is not UTF-8
    table = pyarrow.json.read_json(pa.BufferReader(data), _one_block(len(data)), _parse_options(of))
    if not data.endswith(b"\n") or len(table) != data.count(b"\n"):
        raise ValueError("a line is truncated")
    columns = [_narrow(table[field.name], field.type) for field in of.columns]
    for field, column in zip(of.columns, columns, strict=True):
        if column.null_count and not field.nullable:
            raise ValueError(f"{field.name} is missing")
    _tell_newer(table["schema_version"], data, of)
    return pa.table(columns, schema=of.columns)


def _tell_newer(versions: pa.ChunkedArray, data: bytes, of: Table) -> None:
    newest = pc.max(versions).as_py()
    if newest > of.version:
        line = data.split(b"\n")[pc.index(versions, newest).as_py()]
        say_newer(of, json.loads(line))


_NOTHING = _Form((), (), (), ())


@cache
def _form_of(of: Table) -> _Form:
    return _form(list(of.columns))


def _form(fields: Sequence[pa.Field]) -> _Form:
    ranges: list[tuple[str, int, int]] = []
    moments: list[tuple[str, timedelta | None]] = []
    lists: list[tuple[str, _Form]] = []
    maps: list[str] = []
    for field in fields:
        kind = field.type
        if pa.types.is_signed_integer(kind):
            most = 2 ** (kind.bit_width - 1)
            ranges.append((field.name, -most, most - 1))
        elif pa.types.is_timestamp(kind):
            moments.append((field.name, _UTC if kind.tz else None))
        elif pa.types.is_map(kind):
            maps.append(field.name)
        elif pa.types.is_list(kind) and (form := _form(list(kind.value_type))) != _NOTHING:
            lists.append((field.name, form))
    return _Form(tuple(ranges), tuple(moments), tuple(lists), tuple(maps))


@cache
def _parse_options(of: Table) -> pyarrow.json.ParseOptions:
    wide = pa.schema([(field.name, _wide(field.type)) for field in of.columns])
    return pyarrow.json.ParseOptions(explicit_schema=wide, unexpected_field_behavior="ignore")


def _one_block(size: int) -> pyarrow.json.ReadOptions:
    return pyarrow.json.ReadOptions(use_threads=False, block_size=size + 1)


def _wide(kind: pa.DataType) -> pa.DataType:
    """Type as which Arrow's JSON reader reads a column of type `kind`."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_map(kind):
        return pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
    return kind


def _narrow(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Convert a column as it was read to the type of the table."""
    if pa.types.is_timestamp(kind):
        # Round down, as for datetimes of Python; a cast would round towards 1970.
        return pc.floor_temporal(column, unit="millisecond").cast(kind)
    if pa.types.is_map(kind):
        return pa.chunked_array([_as_map(chunk) for chunk in column.chunks], kind)
    return column


def _as_map(pairs: pa.ListArray) -> pa.MapArray:
    keys, values = pairs.values.flatten()
    return pa.MapArray.from_arrays(pairs.offsets, keys, values, mask=pairs.is_null())
