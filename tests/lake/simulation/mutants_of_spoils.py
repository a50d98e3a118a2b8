"""Mutants that let one spoiled object stop the work on others."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from unittest import mock

from lake import layout
from tests.lake.simulation.mutants_of_images import Mutant


def strange_name_ends_the_pass() -> AbstractContextManager[Any]:
    """A folder of the journal that is not a window ends each pass."""

    def parse(names: Iterable[str]) -> list[datetime]:
        return [layout.parse_window(name) for name in names]

    return mock.patch.object(layout, "windows_of", parse)


OF_SPOILS: tuple[Mutant, ...] = (strange_name_ends_the_pass,)
