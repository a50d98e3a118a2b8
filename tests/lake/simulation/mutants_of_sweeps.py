"""Mutants of sweepers: each lacks one rule for names that are swept and used again."""

from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from typing import Any
from unittest import mock

from lake.retention.lifecycle_rules import rules
from lake.retention.sweep_report import SweepReport
from lake.retention.sweeper import Sweeper
from lake.store.conditional_delete import Deletion
from lake.store.folders import ImageFolder
from tests.lake.simulation.mutants_of_images import Mutant, with_times
from tests.lake.simulation.store import DELETE_SECONDS, SimulatedStore


def sweeper_without_a_marker() -> AbstractContextManager[Any]:
    """A sweeper deletes an expired record without a marker: the record may be a new one by now."""

    async def expire(self: Sweeper, folder: ImageFolder, *_: object) -> None:
        await self._delete(
            [folder.record_key, *(stored.key for stored in folder.objects)], SweepReport()
        )

    return mock.patch.object(Sweeper, "_expire", expire)


def rejection_swept_without_a_marker() -> AbstractContextManager[Any]:
    """A sweeper deletes an old rejection that it has listed: it may be a new one by now."""

    async def sweep(self: Sweeper, key: str) -> bool:
        await self._store.delete(key)
        return True

    return mock.patch.object(Sweeper, "_sweep_rejection", sweep)


def marker_that_holds_for_ever() -> AbstractContextManager[Any]:
    """A sweeper deletes a record by its marker, however long it slept."""
    return with_times(marker_use=timedelta(days=9999))


def marker_holds_for_a_moment() -> AbstractContextManager[Any]:
    """A writer takes over the name of a marker while the marker's DELETE may be under way."""
    return with_times(marker_hold=timedelta(seconds=90))


def sweeper_deletes_any_version() -> AbstractContextManager[Any]:
    """A sweeper sends its DELETE without a condition, and the store applies it late."""

    async def prepare(self: SimulatedStore, key: str, _: str) -> Deletion:
        apply = partial(self._bucket.remove, key)
        return partial(self._delete, key, apply, DELETE_SECONDS, self._bucket.loop.time())

    return mock.patch.object(SimulatedStore, "prepare_delete", prepare)


def rules_end_a_day_early() -> AbstractContextManager[Any]:
    """The bucket's rules delete a day before the end of the retention."""
    return mock.patch("tests.lake.simulation.midnights.rules", lambda days: rules(days - 1))


OF_RULES: tuple[Mutant, ...] = (rules_end_a_day_early,)
OF_SWEEPS: tuple[Mutant, ...] = (
    sweeper_without_a_marker,
    rejection_swept_without_a_marker,
    marker_that_holds_for_ever,
    marker_holds_for_a_moment,
    sweeper_deletes_any_version,
)
