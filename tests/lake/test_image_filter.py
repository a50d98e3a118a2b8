"""Conditions of listings on rows of the table, also on rows of older versions."""

from dataclasses import replace

import pyarrow as pa
import pytest

from lake.commit.records import Attempt
from lake.read.image_filter import EVERY_IMAGE, ImageFilter
from lake.tables.rows import to_table
from tests.lake.samples import TENANT, image_id, record
from tests.lake.simulation.bucket import EPOCH

TEXT = "https://example.org/é"


@pytest.fixture
def rows() -> pa.Table:
    """Rows with a code, without codes, without a search for codes, and with two codes."""
    codes = [
        ({"kind": "qr", "text": TEXT},),
        (),
        None,
        ({"kind": "qr", "text": "x"}, {"kind": "ean13", "text": TEXT}),
    ]
    made = [
        record(Attempt(TENANT, image_id(str(number)), EPOCH), codes=found, metadata=metadata)
        for number, (found, metadata) in enumerate(
            zip(codes, ({"a": "1"}, {"a": ""}, {}, {"b": "1"}), strict=True)
        )
    ]
    table = to_table(made)
    return pa.concat_tables([table.slice(0, 1), table.slice(1)])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (EVERY_IMAGE, [0, 1, 2, 3]),
        (ImageFilter(code=TEXT), [0, 3]),
        (ImageFilter(code="x"), [3]),
        (ImageFilter(code="X"), []),
        (ImageFilter(metadata=("a", None)), [0, 1]),
        (ImageFilter(metadata=("a", "1")), [0]),
        (ImageFilter(metadata=("a", "")), [1]),
        (ImageFilter(metadata=("c", None)), []),
        (ImageFilter(code=TEXT, metadata=("b", "1")), [3]),
    ],
)
def test_conditions(rows: pa.Table, condition: ImageFilter, expected: list[int]) -> None:
    found = condition.select(rows)["image_id"].to_pylist()
    assert found == [image_id(str(number)) for number in expected]


def test_rows_without_the_columns_of_later_versions(rows: pa.Table) -> None:
    nulls = pa.nulls(len(rows), rows.schema.field("metadata").type)
    at = rows.schema.get_field_index("metadata")
    older = rows.set_column(at, rows.schema.field(at), nulls)
    assert replace(EVERY_IMAGE, metadata=("a", None)).select(older).num_rows == 0
