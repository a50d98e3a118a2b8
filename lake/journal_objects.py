"""Journal objects: rows that wait for sealing, or one erasure.

Two formats, told apart by their first byte: few rows are lines of JSON (`{`); many are an Arrow
file (`A` of ARROW1), as are erasures, rows that JSON can't say, and all of earlier versions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.ipc

from lake.errors import UnreadableObject, UnstorableRow
from lake.ids import first_of_each, parse_ids
from lake.row_lines import read_lines, write_lines
from lake.rows import conform, in_order
from lake.schema import IMAGES, TOMBSTONES, Tombstone
from lake.tables import IMAGE_TABLE, Journaled, Table

# Fewer rows than this are lines: of so many, Arrow is as quick and half as large. Also, a frame of
# its compressor would cost more than it saves.
FEW_ROWS = 64
_LINE = b"{"
# Of what a converter says of a value, which may quote it.
_MAX_SAID = 200
_ONE_THREAD = pyarrow.ipc.IpcReadOptions(use_threads=False)


@dataclass(frozen=True, slots=True)
class JournalRows:
    """What one journal object, or several together, hold; `images`: rows of whatever table."""

    images: pa.Table = field(default_factory=IMAGES.empty_table)
    tombstones: tuple[Tombstone, ...] = ()


@dataclass(slots=True)
class Decoded:
    """What several journal objects hold, by key where it matters of which."""

    keys: set[str] = field(default_factory=set)
    """objects that were read"""
    images: list[pa.Table] = field(default_factory=list)
    """few tables, however many objects; rows may repeat an id"""
    tombstones: dict[str, tuple[Tombstone, ...]] = field(default_factory=dict)
    unreadable: dict[str, UnreadableObject] = field(default_factory=dict)

    def add(self, later: "Decoded") -> None:
        """Take in what other objects hold."""
        self.keys |= later.keys
        self.images += later.images
        self.tombstones |= later.tombstones
        self.unreadable |= later.unreadable

    def rows(self, of: Table = IMAGE_TABLE) -> JournalRows:
        """All of it as one, without what can't be read."""
        images = pa.concat_tables([of.columns.empty_table(), *self.images])
        return JournalRows(images, tuple(t for some in self.tombstones.values() for t in some))


def encode_records(records: Sequence[Journaled], of: Table = IMAGE_TABLE) -> bytes:
    """One journal object with these rows; raises UnstorableRow if the columns do not hold them."""
    try:
        lines = write_lines(records, of) if len(records) < FEW_ROWS else None
        return encode_rows(of.rows(records)) if lines is None else lines
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        said = str(error).split("\n", 1)[0][:_MAX_SAID]
        raise UnstorableRow(f"no row holds this: {type(error).__name__}: {said}") from error


def encode_rows(table: pa.Table) -> bytes:
    """One journal object with these rows, of whatever schema, as an Arrow file."""
    sink = pa.BufferOutputStream()
    options = pyarrow.ipc.IpcWriteOptions(
        compression="lz4" if len(table) >= FEW_ROWS else None, use_threads=False
    )
    with pyarrow.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def encode_tombstone(tombstone: Tombstone) -> bytes:
    """One journal object with an erasure."""
    return encode_rows(
        pa.Table.from_pylist([tombstone.model_dump(exclude={"kind", "content"})], schema=TOMBSTONES)
    )


def extension_of(body: bytes) -> str:
    """What the name of a journal object ends with, for who looks into the bucket."""
    return "jsonl" if body[:1] == _LINE else "arrow"


def decode_journal(key: str, data: bytes, of: Table = IMAGE_TABLE) -> JournalRows:
    """Rows of one journal object; raises UnreadableObject."""
    try:
        if data[:1] == _LINE:
            return JournalRows(images=_rows_of_lines(data, of))
        with pyarrow.ipc.open_file(pa.py_buffer(data), options=_ONE_THREAD) as reader:
            table = reader.read_all()
        if of is IMAGE_TABLE and "erased_at" in table.column_names:
            parse_ids(table["image_id"])
            found = tuple(Tombstone.model_validate(row) for row in table.to_pylist())
            return JournalRows(tombstones=found)
        parse_ids(table[of.id])
        return JournalRows(images=_without_holes(conform(table, of)))
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise UnreadableObject(f"journal object {key}: {error}", value=key) from error


def decode_journals(objects: Iterable[tuple[str, bytes]], of: Table = IMAGE_TABLE) -> Decoded:
    """What several journal objects hold, given as key and bytes; none stands in another's way."""
    decoded = Decoded()
    lines: list[tuple[str, bytes]] = []
    for key, data in objects:
        # Of whole lines only: one behind the other they say what each of them says.
        if data[:1] == _LINE and data[-1:] == b"\n":
            lines.append((key, data))
        else:
            _decode_into(decoded, key, data, of)
    if lines:
        _lines_into(decoded, lines, of)
    return decoded


def distinct(rows: JournalRows) -> JournalRows:
    """Each image id once."""
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


def _lines_into(decoded: Decoded, objects: Sequence[tuple[str, bytes]], of: Table) -> None:
    """All in one go; if that fails, one of them is to blame, and is found by halves."""
    if len(objects) == 1:
        _decode_into(decoded, *objects[0], of)
        return
    try:
        decoded.images.append(_rows_of_lines(b"".join(data for _, data in objects), of))
        decoded.keys.update(key for key, _ in objects)
    except (pa.ArrowException, ValueError):
        half = len(objects) // 2
        _lines_into(decoded, objects[:half], of)
        _lines_into(decoded, objects[half:], of)


def _without_holes(rows: pa.Table) -> pa.Table:
    """The rows; raises ValueError for a null that no file of a chain can hold."""
    for column, kind in zip(rows.columns, rows.schema, strict=True):
        if column.null_count and not kind.nullable:
            raise ValueError(f"{kind.name} is missing")
    return rows


def _rows_of_lines(data: bytes, of: Table) -> pa.Table:
    rows = read_lines(data, of)
    parse_ids(rows[of.id])  # a row that can't be sealed must not stop the others
    return rows
