"""Encode and decode journal objects: rows that wait for sealing, or one erasure.

There are two formats, which differ in their first byte. Few rows are lines of JSON (`{`). Many rows
are an Arrow file (`A` of ARROW1), and so are erasures, rows that JSON cannot represent, and all
objects of earlier versions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.ipc

from lake.errors import UnreadableObject, UnstorableRow
from lake.old_columns import refuse_old_columns, refuse_old_json
from lake.tables.conforming import conform, without_holes
from lake.tables.ids import first_of_each, parse_ids
from lake.tables.row_lines import read_lines, write_lines
from lake.tables.rows import in_order
from lake.tables.schema import IMAGES, TOMBSTONES, Tombstone
from lake.tables.tables import IMAGE_TABLE, Journaled, Table

# Fewer rows than this are written as lines. From this number on, Arrow is as fast and half as
# large. Below it, Arrow files are not compressed: a compressed frame would be larger.
FEW_ROWS = 64
_LINE = b"{"
# Longest quoted part of a converter's error, in characters; it may contain the value.
_MAX_SAID = 200
# Errors of Arrow and Pydantic for damaged bytes: the last one is of dates beyond the calendar.
_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError)
_ONE_THREAD = pyarrow.ipc.IpcReadOptions(use_threads=False)


@dataclass(frozen=True, slots=True)
class JournalRows:
    """Content of one or several journal objects; `images` are rows of any of the tables."""

    images: pa.Table = field(default_factory=IMAGES.empty_table)
    tombstones: tuple[Tombstone, ...] = ()


@dataclass(slots=True)
class Decoded:
    """Content of several journal objects; tombstones and errors by key."""

    keys: set[str] = field(default_factory=set)
    """objects that were read"""
    images: list[pa.Table] = field(default_factory=list)
    """fewer tables than objects; rows may repeat an id"""
    counts: list[Sequence[tuple[str, int]]] = field(default_factory=list)
    """objects of each table in the order of its rows, each with its number of rows"""
    tombstones: dict[str, tuple[Tombstone, ...]] = field(default_factory=dict)
    unreadable: dict[str, UnreadableObject] = field(default_factory=dict)

    def add(self, later: "Decoded") -> None:
        """Add the content of other objects."""
        self.keys |= later.keys
        self.images += later.images
        self.counts += later.counts
        self.tombstones |= later.tombstones
        self.unreadable |= later.unreadable

    def rows(self, of: Table = IMAGE_TABLE) -> JournalRows:
        """Return all rows and tombstones together; unreadable objects are left out."""
        images = pa.concat_tables([of.columns.empty_table(), *self.images])
        return JournalRows(images, tuple(t for group in self.tombstones.values() for t in group))


def encode_records(records: Sequence[Journaled], of: Table = IMAGE_TABLE) -> bytes:
    """Encode rows as a journal object; raises UnstorableRow if the columns do not hold them."""
    try:
        lines = write_lines(records, of) if len(records) < FEW_ROWS else None
        return encode_rows(of.rows(records)) if lines is None else lines
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        reason = str(error).split("\n", 1)[0][:_MAX_SAID]
        raise UnstorableRow(
            f"the values do not fit into a row: {type(error).__name__}: {reason}"
        ) from error


def encode_rows(table: pa.Table) -> bytes:
    """Encode rows of any schema as a journal object, an Arrow file."""
    sink = pa.BufferOutputStream()
    options = pyarrow.ipc.IpcWriteOptions(
        compression="lz4" if len(table) >= FEW_ROWS else None, use_threads=False
    )
    with pyarrow.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def encode_tombstone(tombstone: Tombstone) -> bytes:
    """Encode an erasure as a journal object."""
    return encode_rows(
        pa.Table.from_pylist([tombstone.model_dump(exclude={"kind", "content"})], schema=TOMBSTONES)
    )


def extension_of(body: bytes) -> str:
    """Return the extension of a journal object's name, which shows its format in a listing."""
    return "jsonl" if body[:1] == _LINE else "arrow"


def decode_journal(key: str, data: bytes, of: Table = IMAGE_TABLE) -> JournalRows:
    """Decode one journal object; raises UnreadableObject."""
    try:
        if data[:1] == _LINE:
            return JournalRows(images=_rows_of_lines(data, of))
        with pyarrow.ipc.open_file(pa.py_buffer(data), options=_ONE_THREAD) as reader:
            table = reader.read_all()
        # Arrow files have no checksums, and reading columns with wrong offsets ends the process.
        table.validate(full=True)
        if of is IMAGE_TABLE and "erased_at" in table.column_names:
            refuse_old_columns("erasure", key, table.column_names)
            parse_ids(table["image_id"])
            tombstones = tuple(Tombstone.model_validate(row) for row in table.to_pylist())
            return JournalRows(tombstones=tombstones)
        parse_ids(table[of.id])
        return JournalRows(images=without_holes(conform(table, of, key)))
    except (*_UNREADABLE, KeyError) as error:
        refuse_old_json("journal object", key, data)
        raise UnreadableObject(f"journal object {key}: {error}", value=key) from error


def decode_journals(objects: Iterable[tuple[str, bytes]], of: Table = IMAGE_TABLE) -> Decoded:
    """Decode several journal objects, given as key and bytes; an unreadable one stops no other."""
    decoded = Decoded()
    lines: list[tuple[str, bytes]] = []
    for key, data in objects:
        # Objects of whole lines can be joined and decoded together.
        if data[:1] == _LINE and data[-1:] == b"\n":
            lines.append((key, data))
        else:
            _decode_into(decoded, key, data, of)
    if lines:
        _lines_into(decoded, lines, of)
    return decoded


def distinct(rows: JournalRows) -> JournalRows:
    """Drop all but the first row of each image id."""
    chosen = in_order(rows.images, first_of_each(parse_ids(rows.images["image_id"])))
    return JournalRows(rows.images.take(chosen), rows.tombstones)


def _decode_into(decoded: Decoded, key: str, data: bytes, of: Table) -> None:
    try:
        rows = decode_journal(key, data, of)
    except UnreadableObject as error:
        decoded.unreadable[key] = error
        return
    decoded.keys.add(key)
    if rows.tombstones:
        decoded.tombstones[key] = rows.tombstones
    else:
        decoded.images.append(rows.images)
        decoded.counts.append([(key, len(rows.images))])


def _lines_into(decoded: Decoded, objects: Sequence[tuple[str, bytes]], of: Table) -> None:
    """Decode all lines at once; if that fails, find the unreadable objects by bisection."""
    if len(objects) == 1:
        _decode_into(decoded, *objects[0], of)
        return
    try:
        decoded.images.append(_rows_of_lines(b"".join(data for _, data in objects), of))
        decoded.counts.append([(key, data.count(b"\n")) for key, data in objects])
        decoded.keys.update(key for key, _ in objects)
    except _UNREADABLE:
        half = len(objects) // 2
        _lines_into(decoded, objects[:half], of)
        _lines_into(decoded, objects[half:], of)


def _rows_of_lines(data: bytes, of: Table) -> pa.Table:
    rows = read_lines(data, of)
    parse_ids(rows[of.id])  # a row that can't be sealed must not stop the others
    return rows
