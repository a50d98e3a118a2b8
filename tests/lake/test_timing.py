"""Protocol times: every relation is checked, and the page lists every relation."""

import re
from dataclasses import asdict, fields, replace
from datetime import timedelta
from pathlib import Path

import pytest

from lake.timing import RELATIONS, TIMES, ProtocolTimes, Relation

ROOT = Path(__file__).parents[2]
UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "day": "days", "days": "days"}


@pytest.mark.parametrize("relation", RELATIONS, ids=str)
def test_times_below_a_bound_are_refused(relation: Relation) -> None:
    least = relation.least(TIMES)
    with pytest.raises(ValueError, match=re.escape(str(relation))):
        replace(TIMES, **{relation.time: least - timedelta(seconds=1)})
    assert relation.holds(times_with(relation, least))


def times_with(relation: Relation, time: timedelta) -> ProtocolTimes:
    """Times with one value changed; other relations may be broken."""
    times = object.__new__(ProtocolTimes)
    for name, value in (asdict(TIMES) | {relation.time: time}).items():
        object.__setattr__(times, name, value)
    return times


def test_all_broken_relations_are_named_at_once() -> None:
    with pytest.raises(ValueError, match="attempt_over") as refused:
        replace(TIMES, signature=timedelta(days=2))
    told = str(refused.value).splitlines()
    assert told == [str(each) for each in RELATIONS if "signature" in each.bound]


def test_the_page_has_every_time_and_every_relation() -> None:
    page = (ROOT / "docs" / "lake.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) (\w+) \|", page, re.MULTILINE)
    shown = {name: timedelta(**{UNITS[unit]: float(number)}) for name, number, unit in rows}
    assert shown == {each.name: getattr(TIMES, each.name) for each in fields(TIMES)}
    lines = re.findall(r"^\| `(\w+)` ≥ (.+?) \|", page, re.MULTILINE)
    assert lines == [
        (each.time, " + ".join(f"`{name}`" for name in each.bound)) for each in RELATIONS
    ]
