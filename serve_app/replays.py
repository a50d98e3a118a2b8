"""Replays: uploads that were stored before are answered from their record, without a decoder.

A first upload must not wait for a look-up that finds nothing. A record is looked up in two cases:
  - the request has an `Idempotency-Key`: the look-up runs while the body arrives
  - this process has stored or found an image of the same identity
Another upload is processed; the commit then finds the record, as without this module.
"""

import asyncio
from contextlib import suppress

from cachetools import LRUCache

from lake.commit.requests import LookUp
from lake.errors import Unavailable, UnreadableObject
from lake.lake import Commit, Lake
from processors.job import ImageJob, by_key, image_id_of
from processors.worker import Worker

# Remembered ids, 200 bytes each: those of an hour at 14 images a second.
_MAX_REMEMBERED = 50_000

Early = asyncio.Task[LookUp | None]


class Replays:
    """Finds the images of repeated uploads; remembers the ids that this process stored."""

    def __init__(self, lake: Lake, worker: Worker) -> None:
        self._lake = lake
        self._worker = worker
        self._remembered: LRUCache[str, None] = LRUCache(_MAX_REMEMBERED)

    def look_up(self, tenant: str, idempotency_key: str | None) -> Early | None:
        """Start to look up the image of a key; the caller cancels the task if it has no use."""
        if idempotency_key is None:
            return None
        image_id = image_id_of(tenant, by_key(idempotency_key))
        return asyncio.create_task(self._looked_up(tenant, image_id))

    async def find(self, job: ImageJob, early: Early | None) -> Commit | None:
        """Find the image that an earlier repetition stored; None: process the upload.

        An error is no result: the commit repairs damaged records, and names faults of the store.
        """
        looked = await early if early is not None else None
        if looked is None and job.image_id not in self._remembered:
            return None
        if looked is not None and looked.record is None:
            return None  # a first upload, whose bytes need no digest for a comparison
        with suppress(UnreadableObject, Unavailable):
            return await self._worker.replay(job, looked)
        return None

    def remember(self, image_id: str) -> None:
        """Remember that an image with this id is stored."""
        self._remembered[image_id] = None

    async def _looked_up(self, tenant: str, image_id: str) -> LookUp | None:
        with suppress(UnreadableObject, Unavailable):
            return await self._lake.committer.look_up(tenant, image_id)
        return None
