"""Bounds of a child's answer: every field has them, and an answer within them fits a row."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.commit.journal_objects import decode_journal, encode_records, encode_rows
from lake.commit.records import Attempt
from lake.commit.rejections import Refusal as Refused
from lake.errors import Fault, UnstorableRow
from lake.tables.fitting import misfits, proven
from lake.tables.rows import decode_chain_file, encode_chain_file, to_records
from lake.tables.schema import ImageRecord
from lake.tables.tables import IMAGE_TABLE
from processors.codecs.formats import AVIF, JPEG
from processors.codecs.header_readers import read_header
from processors.columns import columns_of
from processors.job import Processed
from processors.pipeline import process
from processors.preset import ARCHIVE
from processors.sandbox.answer_check import processed_of
from processors.sandbox.protocol import Answer, BrokenProtocol, Refusal, error_of, parse_reply
from processors.settings import Limits
from tests.lake.samples import record as sample
from tests.photos import jpeg
from tests.processors.hostile import avif_of_ticks

ANSWER, REFUSAL = Answer.model_json_schema(), Refusal.model_json_schema()
HUGE = 10**400


def resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return root["$defs"][reference.rsplit("/", 1)[1]] if reference else schema


def leaves(schema: dict[str, Any], root: dict[str, Any], at: str = "") -> list[tuple[str, Any]]:
    """Path and schema of every value that is no object; lists and their items are included."""
    schema = resolved(schema, root)
    found: list[tuple[str, Any]] = []
    for choice in schema.get("anyOf", ()):
        found += leaves(choice, root, at)
    for name, inner in schema.get("properties", {}).items():
        found += leaves(inner, root, f"{at}.{name}")
    if schema.get("type") == "array":
        found += [(at, schema), *leaves(schema["items"], root, f"{at}[]")]
    elif schema.get("type") in {"string", "integer", "number", "boolean"}:
        found.append((at, schema))
    return found


def is_bounded(schema: dict[str, Any]) -> bool:
    if "const" in schema or "enum" in schema or schema["type"] == "boolean":
        return True
    kind = schema["type"]
    if kind == "array":
        return "maxItems" in schema
    if kind == "string":
        # Besides `maxLength`, only a pattern with an end and no repetition, or a time, is a limit.
        pattern = schema.get("pattern", "")
        fixed = pattern.endswith("$") and not {"+", "*"} & set(pattern.split("]", 1)[-1])
        return "maxLength" in schema or fixed or schema.get("format") == "date-time"
    low, high = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
    return any(each in schema for each in low) and any(each in schema for each in high)


@pytest.mark.parametrize("root", [ANSWER, REFUSAL], ids=["answer", "refusal"])
def test_every_number_text_and_list_of_a_child_has_bounds(root: dict[str, Any]) -> None:
    found = leaves(root, root)
    assert len(found) > 3
    assert [at for at, schema in found if not is_bounded(schema)] == []


def test_the_bounds_are_found_wanting_where_there_are_none() -> None:
    for schema in (
        {"type": "integer", "minimum": 0},
        {"type": "number"},
        {"type": "string"},
        {"type": "string", "pattern": "^[a-z]+$"},
        {"type": "array", "items": {}},
    ):
        assert not is_bounded(schema)


def values(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Any JSON value that a schema allows, often an end of its range; 10^400 stands for no end."""
    schema = resolved(schema, root)
    if choices := schema.get("anyOf"):
        return st.one_of([values(each, root) for each in choices])
    if fixed := schema.get("enum") or schema.get("const"):
        return st.sampled_from(fixed if isinstance(fixed, list) else [fixed])
    kind = schema.get("type")
    if kind == "object":
        fields = {name: values(each, root) for name, each in schema["properties"].items()}
        return st.fixed_dictionaries(fields)
    if kind == "array":
        return st.lists(values(schema["items"], root), max_size=schema.get("maxItems", 3))
    if kind == "string":
        return _texts(schema)
    plain = {"boolean": st.booleans(), "null": st.none()}
    return plain[kind] if kind in plain else _numbers(schema, whole=kind == "integer")


def _texts(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True)
    if schema.get("format") == "date-time":
        return st.datetimes().map(lambda each: each.isoformat(timespec="milliseconds"))
    longest = schema.get("maxLength", 100)
    return st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=longest)


def _numbers(schema: dict[str, Any], *, whole: bool) -> st.SearchStrategy[Any]:
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if whole:
        low = schema.get("minimum", -HUGE if above is None else above + 1)
        high = schema.get("maximum", HUGE if below is None else below - 1)
        return st.sampled_from([low, high]) | st.integers(low, high)
    low = schema.get("minimum", -1e308 if above is None else math.nextafter(above, math.inf))
    high = schema.get("maximum", 1e308 if below is None else math.nextafter(below, -math.inf))
    return st.sampled_from([low, high]) | st.floats(low, high)


def composed(processed: Processed) -> ImageRecord:
    attempt = Attempt("acme", "0" * 32, datetime(2026, 11, 23, 10, tzinfo=UTC), id="a" * 16)
    return sample(attempt, **columns_of(processed, gps=True))


@settings(deadline=None)
@given(values(ANSWER, ANSWER).map(json.dumps).map(str.encode))
def test_whatever_a_child_may_answer_is_a_row(text: bytes) -> None:
    answer = parse_reply(text)
    assert isinstance(answer, Answer)
    record = composed(processed_of(answer.model_copy(update={"renditions": ()}), JPEG, []))
    assert ImageRecord.model_validate_json(proven(record)) == record
    rows = IMAGE_TABLE.rows([record])
    for body in (encode_records([record]), encode_rows(rows)):
        found = decode_journal("k", body).images
        sealed = decode_chain_file("f", encode_chain_file(found))
        assert to_records(sealed) == [record]


@given(
    values(REFUSAL, REFUSAL).map(json.dumps).map(str.encode)
    | st.sampled_from([HUGE, -HUGE, 1e308, 2**64]).map(
        lambda number: json.dumps(
            {"kind": "refusal", "nonce": "n", "code": "truncated", "detail": "m", "limit": number}
        ).encode()
    )
)
def test_a_refusal_is_broken_or_a_reason(text: bytes) -> None:
    try:
        reply = parse_reply(text)
        assert isinstance(reply, Refusal)
        error = error_of(reply)
    except BrokenProtocol:
        return
    said = Refused("t", "images", "id", 0, 0, None, 0, error.fault)
    assert said.reason.limit is None or math.isfinite(said.reason.limit)


@pytest.mark.parametrize("limit", [HUGE, -HUGE, math.inf, math.nan])
def test_a_reason_is_written_whatever_limit_is_said(limit: float) -> None:
    why = Refused("t", "images", "id", 0, 0, None, 0, Fault("c", "a\x1b[2J\0", limit, 10**5000))
    assert why.reason.limit is None
    assert why.reason.detail == r"a\x1b[2J\x00"
    assert str(why.reason.value).isprintable()


@pytest.mark.parametrize(("ticks", "expected"), [(2**63, None), (3, 3000), (2**64 - 2, None)])
def test_a_sequence_of_any_length_is_taken(ticks: int, expected: int | None) -> None:
    data = avif_of_ticks(ticks)
    assert read_header(data, AVIF, Limits()).duration_ms == expected
    record = composed(process(data, ARCHIVE, Limits()))
    assert record.duration_ms == expected
    proven(record)


def test_a_number_that_no_column_holds_is_found() -> None:
    good = composed(process(jpeg(), ARCHIVE, Limits()))
    bad = good.model_copy(update={"duration_ms": 2**63, "iso": 2**31})
    assert misfits(good, IMAGE_TABLE) == []
    assert misfits(bad, IMAGE_TABLE) == ["duration_ms", "iso"]
    with pytest.raises(UnstorableRow):
        proven(bad)
    with pytest.raises(UnstorableRow):
        proven(good.model_copy(update={"sharpness": math.inf}))
