"""Conversion of refused messages to the lake's `Refusal`."""

from dataclasses import replace

from ingest.messages import Message, message_digest, value_digest
from lake.commit.rejections import Refusal
from lake.errors import Fault
from processors.errors import ProcessingFailed
from processors.job import ImageJob


def refusal_of(tenant: str, message: Message, job: ImageJob | Fault, why: Fault) -> Refusal:
    """Build the refusal of a message, with its image id if the message has one."""
    if isinstance(job, ImageJob) and job.sha256 and job.position:
        # `to_job` computed both digests; a value may have 25 MB.
        sha256, digest = job.sha256, job.position.message
    else:
        sha256 = value_digest(message)
        digest = message_digest(message, sha256)
    return Refusal(
        tenant=tenant,
        topic=message.topic,
        topic_id=message.topic_id,
        partition=message.partition,
        offset=message.offset,
        message_time=message.timestamp,
        bytes=len(message.value or b""),
        fault=why,
        # Without a job the headers are invalid, so there is no identity to derive an id from.
        image_id=job.image_id if isinstance(job, ImageJob) else None,
        sha256=sha256,
        message=digest,
    )


def given_up(times: int, how: str) -> Fault:
    """Fault of a message after `times` failed tries; `how` is the last error."""
    detail = f"failed {times} times on its own, the last time: {how}"
    return Fault(ProcessingFailed.code, detail, value=times)


def plain(refusal: Refusal, why: Fault) -> Refusal:
    """Copy of a refusal with another reason, without limit, value and image id.

    The image id is left out because the object stored under it may be the cause of the failure.
    """
    return replace(refusal, fault=Fault(why.code, why.detail), image_id=None)
