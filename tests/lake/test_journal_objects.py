"""Journal objects: lines of JSON hold the same values as an Arrow file of the same rows."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.lake_rows import generated
from lake.commit.journal_objects import (
    FEW_ROWS,
    decode_journal,
    decode_journals,
    encode_records,
    encode_rows,
    encode_tombstone,
)
from lake.errors import UnstorableRow
from lake.tables.columns import MS
from lake.tables.rows import to_records
from lake.tables.schema import IMAGES, ImageRecord, Tombstone
from lake.tables.tables import IMAGE_TABLE, REJECTION_TABLE, Journaled, Rejected, Table

RECORDS = to_records(generated(8, seed=1))
KINDS = [(IMAGE_TABLE, ImageRecord), (REJECTION_TABLE, Rejected)]


def values(kind: pa.DataType) -> st.SearchStrategy[object]:
    """Strategy for all values that a column of this type may be given."""
    if pa.types.is_integer(kind):
        most = 2 ** (kind.bit_width - 1)
        return st.integers(-most, most - 1)
    if pa.types.is_timestamp(kind):
        return st.datetimes(timezones=st.just(UTC) if kind.tz else st.none())
    if pa.types.is_map(kind):
        return st.dictionaries(st.text(), st.text(), max_size=3)
    if pa.types.is_list(kind):
        struct = {field.name: values(field.type) for field in kind.value_type}
        return st.lists(st.fixed_dictionaries(struct), max_size=2)
    return {pa.float64(): st.floats(), pa.bool_(): st.booleans(), pa.string(): st.text()}[kind]


def records(of: Table, model: type[Journaled]) -> st.SearchStrategy[list[Journaled]]:
    columns = {
        field.name: st.none() | values(field.type) if field.nullable else values(field.type)
        for field in of.columns
    }
    columns |= {
        of.id: st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}"),
        "source": st.sampled_from(["api", "kafka"]),
        "metadata": values(IMAGES.field("metadata").type),
    }
    rows = st.fixed_dictionaries(columns).map(lambda said: model(**said))
    return st.lists(rows, min_size=1, max_size=3)


@pytest.mark.parametrize(("of", "model"), KINDS, ids=["images", "rejections"])
@settings(deadline=None)  # the first example compiles code for later ones
@given(data=st.data())
def test_any_rows_are_read_as_they_were(
    of: Table, model: type[Journaled], data: st.DataObject
) -> None:
    rows = data.draw(records(of, model))
    objects = [("all", encode_records(rows, of))]
    objects += [(f"{n}", encode_records([row], of)) for n, row in enumerate(rows)]
    expected = of.rows(rows)
    read = decode_journals(objects, of)
    assert read.unreadable == {}
    found = read.rows(of).images
    assert found.schema == of.columns
    # Compared as texts, because NaN differs from itself. Sorted, because rows that are not lines
    # of JSON come first.
    assert sorted(texts(found)) == sorted(2 * texts(expected))
    assert texts(decode_journal("all", objects[0][1], of).images) == texts(expected)


def texts(rows: pa.Table) -> list[str]:
    return [repr(row) for row in rows.to_pylist()]


def test_few_rows_are_lines_and_many_an_arrow_file() -> None:
    lines = encode_records(RECORDS)
    assert [json.loads(line)["image_id"] for line in lines.splitlines()] == [
        record.image_id for record in RECORDS
    ]
    assert encode_records(RECORDS * FEW_ROWS).startswith(b"ARROW1")


@pytest.mark.parametrize(
    "change",
    [
        {"sharpness": float("nan")},
        {"noise": float("-inf")},
        {"filename": 'a":null'},
        {"taken_at": datetime(2026, 11, 23, tzinfo=UTC)},
    ],
)
def test_what_json_cannot_say_is_kept(change: dict[str, object]) -> None:
    row = RECORDS[0].model_copy(update=change)
    (found,) = decode_journal("k", encode_records([row])).images.to_pylist()
    assert repr(found) == repr(IMAGE_TABLE.rows([row]).to_pylist()[0])


@pytest.mark.parametrize("change", [{"iso": 2**31}, {"partition": -(2**31) - 1}, {"bytes": 2**63}])
def test_a_number_that_no_column_holds_is_not_acknowledged(change: dict[str, object]) -> None:
    with pytest.raises(UnstorableRow):
        encode_records([RECORDS[0].model_copy(update=change)])


def edited(change: Callable[[dict[str, object]], object]) -> bytes:
    line = json.loads(encode_records(RECORDS[:1]))
    change(line)
    return json.dumps(line).encode() + b"\n"


WHOLE = encode_records(RECORDS[:2])
DAMAGES = {
    "cut in a line": WHOLE[: len(WHOLE) // 3],
    "cut in a line, at a newline": WHOLE[: len(WHOLE) // 3] + b"\n",
    "cut within a list": WHOLE[: WHOLE.index(b'"renditions":[') + 14] + b"\n",
    "cut before the last newline": WHOLE[:-1],
    "not JSON": b"{oh no}\n",
    "no text": WHOLE.replace(b"acme", b"\xff\xfe\xfd\xfc"),
    "two rows in a line": WHOLE.replace(b"\n", b" ", 1),
    "nothing in it": b"{}\n",
    "a list": b"[]\n",
    "empty": b"",
    "a column is missing": edited(lambda row: row.pop("width")),
    "another type": edited(lambda row: row.update(width="wide")),
    "no whole number": edited(lambda row: row.update(width=1.5)),
    "too large a number": edited(lambda row: row.update(width=2**31)),
    "not an id": edited(lambda row: row.update(image_id="7")),
    "not hex": edited(lambda row: row.update(image_id="z" * 32)),
    "no time": edited(lambda row: row.update(received_at="yesterday")),
}


@pytest.mark.parametrize("body", DAMAGES.values(), ids=DAMAGES.keys())
def test_what_cannot_be_read_stands_in_nobodys_way(body: bytes) -> None:
    good = [(f"{n}", encode_records([row])) for n, row in enumerate(RECORDS)]
    read = decode_journals([*good[:3], ("bad", body), *good[3:]])
    assert set(read.unreadable) == {"bad"}
    assert read.keys == {key for key, _ in good}
    ids = read.rows().images["image_id"].to_pylist()
    assert ids == [record.image_id for record in RECORDS]


def test_objects_of_both_formats_are_read_together() -> None:
    tombstone = Tombstone(
        image_id=RECORDS[3].image_id,
        tenant="acme",
        attempt="a",
        window_start=RECORDS[3].window_start,
        erased_at=datetime(2026, 11, 23, tzinfo=UTC),
    )
    read = decode_journals(
        [
            ("lines", encode_records(RECORDS[:2])),
            ("file", encode_rows(IMAGE_TABLE.rows(RECORDS[2:4]))),
            ("erasure", encode_tombstone(tombstone)),
            ("more lines", encode_records(RECORDS[4:])),
        ]
    )
    assert read.tombstones == {"erasure": (tombstone,)}
    assert sorted(texts(read.rows().images)) == sorted(texts(IMAGE_TABLE.rows(RECORDS)))


def newer() -> Sequence[tuple[str, bytes]]:
    row = edited(
        lambda row: row.update(
            schema_version=1000,
            of_tomorrow={"a": [1, "b"]},
            renditions=[{**one, "dpi": 300} for one in row["renditions"]],  # type: ignore[attr-defined]
        )
    )
    return [("newer", row), ("today", encode_records(RECORDS[1:2]))]


def test_lines_of_a_newer_version_are_read_and_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "lake.tables.rows"):
        found = decode_journals(newer()).rows().images
    (line,) = map(vars, caplog.records)
    assert "of_tomorrow" in line["columns"]
    today = IMAGE_TABLE.rows(RECORDS[:2])
    assert found["schema_version"].to_pylist() == [1000, today["schema_version"][1].as_py()]
    assert found.drop_columns("schema_version").equals(today.drop_columns("schema_version"))


def test_a_column_that_a_line_does_not_have_yet_is_null() -> None:
    found = decode_journal("older", edited(lambda row: row.pop("noise"))).images
    assert found["noise"].to_pylist() == [None]


def test_times_are_in_milliseconds_also_before_1970() -> None:
    moment = datetime(1960, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    row = RECORDS[0].model_copy(update={"event_time": moment})
    found = decode_journal("k", encode_records([row])).images["event_time"]
    assert found.type == MS
    assert found[0].as_py() == moment.replace(microsecond=0)


def test_a_damaged_arrow_file_is_unreadable_and_ends_no_process() -> None:
    # In a process of its own, because wrong offsets once ended the process that read them.
    command = [sys.executable, "-m", "tests.lake.flipped_journal"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
