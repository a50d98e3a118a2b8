"""A consumer in its own process, for tests that kill it; prints the id of each image."""

import asyncio
import sys

from ingest.consumer import Consumer
from ingest.settings import IngestSettings
from processors.job import ImageJob
from processors.replica_answers import Answer
from tests.ingest.doubles import Workers, created


async def submit(jobs: list[ImageJob]) -> list[Answer]:
    for job in jobs:
        sys.stdout.write(f"{job.image_id}\n")
    sys.stdout.flush()
    return [created(job) for job in jobs]


if __name__ == "__main__":
    settings = IngestSettings.model_validate_json(sys.argv[1])
    asyncio.run(Consumer(settings, submit, Workers().note).run())
