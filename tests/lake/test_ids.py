import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.tables.ids import IdSet, first_of_each, parse_ids

# Few different halves: ids that share their high half are the hard case.
HALVES = st.sampled_from(["0" * 16, "0" * 15 + "1", "8" + "0" * 15, "f" * 16])
IDS = st.lists(st.builds(str.__add__, HALVES, HALVES), max_size=30)


@given(held=IDS, wanted=IDS)
def test_a_set_knows_its_ids_and_no_others(held: list[str], wanted: list[str]) -> None:
    ids = IdSet.of(held)
    assert ids.holds(parse_ids(pa.array(wanted, pa.string()))).tolist() == [
        image_id in held for image_id in wanted
    ]
    assert ids.among(wanted) == set(held) & set(wanted)


@given(ids=IDS, cut=st.integers(0, 5))
def test_the_first_of_equal_ids_counts(ids: list[str], cut: int) -> None:
    column = pa.chunked_array([pa.array(ids[:cut], pa.string()), pa.array(ids[cut:], pa.string())])
    first = first_of_each(parse_ids(column))
    assert first.tolist() == [image_id not in ids[:n] for n, image_id in enumerate(ids)]


@given(ids=st.lists(st.integers(0, 2**128 - 1).map("{:032x}".format), min_size=2, max_size=20))
def test_a_slice_of_a_column_is_parsed_as_such(ids: list[str]) -> None:
    numbers = parse_ids(pa.array(ids)[1:])
    assert [f"{high:016x}{low:016x}" for high, low in numbers.tolist()] == ids[1:]


@pytest.mark.parametrize("odd", ["", "0" * 31, "0" * 33, "z" * 32, " " * 32, None])
def test_what_is_no_id_is_refused(odd: str | None) -> None:
    with pytest.raises(ValueError, match=r"id|hex|digit"):
        parse_ids(pa.array(["0" * 32, odd], pa.string()))
