"""Mutants of listings: each lacks one rule of a reader."""

from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from tests.lake.simulation.mutants_of_images import Mutant


def listing_ignores_footers() -> AbstractContextManager[Any]:
    """A reader shows a row that a replay journaled after its erasure."""
    return mock.patch("lake.read.reader.erased_ids", return_value=frozenset())


def listing_shows_rows_that_move() -> AbstractContextManager[Any]:
    """A reader shows the row of a segment and the journal's row of the same image."""
    return mock.patch("lake.read.reader.without", lambda images, _: images)


OF_LISTINGS: tuple[Mutant, ...] = (listing_ignores_footers, listing_shows_rows_that_move)
