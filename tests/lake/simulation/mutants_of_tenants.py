"""Mutants that mix up two tenants, or let the fault of one cost another."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from unittest import mock

import pyarrow as pa

from lake import layout
from lake.read.tenant_index import Holdings
from lake.read.window_rows import Wanted
from lake.store.folders import Item, image_folders
from lake.store.object_store import ObjectStore
from tests.lake.simulation.mutants_of_images import Mutant
from tests.lake.simulation.story import Story
from tests.lake.simulation.tenants import swept_tenants, two_tenants


def listing_shows_every_tenant() -> AbstractContextManager[Any]:
    """A reader shows the rows of all tenants in the windows that it reads."""
    honest = Wanted.select

    def select(self: Wanted, rows: pa.Table) -> pa.Table:
        at = rows.schema.get_field_index("tenant")
        own = pa.array([self.tenant] * len(rows), pa.string())
        return honest(self, rows.set_column(at, "tenant", own))

    return mock.patch.object(Wanted, "select", select)


def index_knows_one_tenant() -> AbstractContextManager[Any]:
    """A reader knows the windows of the first tenant of a file, and of no other."""
    honest = Holdings.of

    def of(self: Holdings, tenant: str) -> set[datetime]:
        return honest(self, tenant) if tenant in self.tenants[:1] else set()

    return mock.patch.object(Holdings, "of", of)


def tenant_that_is_not_listed_ends_the_sweep() -> AbstractContextManager[Any]:
    """A sweep lists the images of all tenants together."""

    def images(store: ObjectStore, _: object) -> AsyncIterator[Item]:
        return image_folders(store, layout.IMAGES)

    return mock.patch("lake.retention.sweeper.listable_images", images)


OF_TENANTS: dict[Mutant, Story] = {
    listing_shows_every_tenant: two_tenants,
    index_knows_one_tenant: two_tenants,
    tenant_that_is_not_listed_ends_the_sweep: swept_tenants,
}
"""Mutants, and the story that catches each."""
