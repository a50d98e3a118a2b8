"""Mutants that misread an answer of the store: each lacks one rule for what an answer proves."""

from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from lake.commit.records import Commit, Committer
from lake.errors import IdempotencyConflict, Mismatch
from tests.lake.simulation.mutants_of_images import Mutant
from tests.lake.simulation.store import SimulatedStore


def conflict_is_anothers_image() -> AbstractContextManager[Any]:
    """A writer whose If-Match fails takes the name for another's, and deletes its objects."""
    overwrite = Committer._overwrite

    async def hasty(self: Committer, *arguments: Any) -> Commit:
        try:
            return await overwrite(self, *arguments)
        except Mismatch as error:
            raise IdempotencyConflict("taken") from error

    return mock.patch.object(Committer, "_overwrite", hasty)


def part_is_the_whole() -> AbstractContextManager[Any]:
    """The store's client returns the part of an object that arrived before the network cut it."""

    def received(self: SimulatedStore, part: bytes) -> bytes:
        del self
        return part

    return mock.patch.object(SimulatedStore, "received_part", received)


OF_ANSWERS: tuple[Mutant, ...] = (conflict_is_anothers_image, part_is_the_whole)
