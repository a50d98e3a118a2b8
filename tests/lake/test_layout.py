"""Tests of the names of keys: roles of a cloud, lifecycle and replication know their folders."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from lake import layout

_VALUES = {
    "n": 3,
    "version": 1,
    "of": layout.REJECTION_ROWS,
    "hour": datetime(2026, 11, 23, 10, tzinfo=UTC),
    "erased_at": datetime(2026, 11, 23, 10, tzinfo=UTC),
    "window_start": datetime(2026, 11, 23, 10, 4, tzinfo=UTC),
}
_BUILDERS = [
    build
    for name, build in inspect.getmembers(layout, inspect.isfunction)
    if name.endswith(("_key", "_prefix")) and not name.startswith("parse_")
]


@pytest.mark.parametrize("build", _BUILDERS, ids=lambda build: build.__name__)
def test_every_key_is_below_a_folder_that_roles_and_replication_know(
    build: Callable[..., str],
) -> None:
    names = inspect.signature(build).parameters
    key = build(**{name: _VALUES.get(name, f"a-{name}") for name in names})
    assert key.split("/")[0] in layout.ROOTS, key


_FIXED = {name: value for name, value in vars(layout).items() if name.isupper() and name[0] != "_"}


@pytest.mark.parametrize("name", [name for name, one in _FIXED.items() if isinstance(one, str)])
def test_every_fixed_name_is_below_a_folder_or_is_that_of_a_file(name: str) -> None:
    assert _FIXED[name].split("/")[0] in {*layout.ROOTS, layout.STORE, layout.RECORD}


@pytest.mark.parametrize("rows", [layout.IMAGE_ROWS, layout.REJECTION_ROWS])
def test_every_folder_of_rows_is_below_one_that_roles_and_replication_know(
    rows: layout.Folders,
) -> None:
    folders = (rows.journal, rows.chains, rows.compacted, layout.rebuilt_rows("images").chains)
    assert {folder.split("/")[0] for folder in folders} <= {*layout.ROOTS}
