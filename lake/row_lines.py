"""Few rows as lines of JSON, one a row: written in microseconds, and many objects parse as one.

An Arrow file of one row costs 30 times as much to write, nearly all of it for its sixty columns.
Lines say exactly what that file would: a record of which this is not so is not written as one.
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

from lake.rows import say_newer
from lake.tables import Journaled, Table

_UTC = timedelta(0)


@dataclass(frozen=True, slots=True)
class _Form:
    """What of a table's records has to be looked at before they are written."""

    ranges: tuple[tuple[str, int, int], ...]
    """whole numbers, and from where to where their column holds them"""
    moments: tuple[tuple[str, timedelta | None], ...]
    """times, and how they must be off UTC to be read as they are written"""
    lists: tuple[tuple[str, "_Form"], ...]
    maps: tuple[str, ...]
    """Arrow's reader of JSON knows a map as a list of pairs"""

    def fits(self, row: BaseModel) -> bool:
        """Whether the columns hold these whole numbers, and will hold these times as they are."""
        said = vars(row)
        for name, low, high in self.ranges:
            number = said[name]
            if number is not None and not low <= number <= high:
                return False
        for name, offset in self.moments:
            moment: datetime | None = said[name]
            if moment is not None and moment.utcoffset() != offset:
                return False
        for name, form in self.lists:
            for one in said[name] or ():
                if not form.fits(one):
                    return False
        return True

    def line(self, row: BaseModel) -> bytes:
        """The row, and a newline."""
        # What is not there is null: of a picture without a camera that is a third of the columns.
        said = row.model_dump_json(exclude={"kind", *self.maps}, exclude_none=True)
        body = said.encode()
        for name in self.maps:
            pairs = [{"key": key, "value": value} for key, value in vars(row)[name].items()]
            body = b'%b,"%b":%b}' % (body[:-1], name.encode(), to_json(pairs))
        return body + b"\n"


def write_lines(records: Sequence[Journaled], of: Table) -> bytes | None:
    """Records as lines; None for those that JSON can't say exactly, or their columns not hold."""
    form = _form_of(of)
    if not all(map(form.fits, records)):
        return None
    lines = b"".join(map(form.line, records))
    # Stands for NaN or an infinity, or is in some text.
    return None if b":null" in lines else lines


def read_lines(data: bytes, of: Table) -> pa.Table:
    """Lines of any schema version as rows of today's; raises ValueError (Arrow's are, too).

    Never fewer rows than lines: of several objects one behind the other, a cut one is noticed.
    """
    data.decode()  # Arrow takes any bytes for text
    table = pyarrow.json.read_json(pa.BufferReader(data), _one_block(len(data)), _parse_options(of))
    if not data.endswith(b"\n") or len(table) != data.count(b"\n"):
        raise ValueError("a line is cut off")
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
    """As what Arrow's reader reads a column."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", kind.tz)
    if pa.types.is_map(kind):
        return pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
    return kind


def _narrow(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """What was read as a column of the table."""
    if pa.types.is_timestamp(kind):
        # Down, as Python's datetimes become Arrow's; a cast would go towards 1970.
        return pc.floor_temporal(column, unit="millisecond").cast(kind)
    if pa.types.is_map(kind):
        return pa.chunked_array([_as_map(chunk) for chunk in column.chunks], kind)
    return column


def _as_map(pairs: pa.ListArray) -> pa.MapArray:
    keys, values = pairs.values.flatten()
    return pa.MapArray.from_arrays(pairs.offsets, keys, values, mask=pairs.is_null())
