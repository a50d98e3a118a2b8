"""Refusals of messages, as the lake writes them down."""

from dataclasses import replace

from ingest.messages import Message, Rejection, message_digest, value_digest
from lake.rejections import Refusal
from processors.job import ImageJob
from processors.worker import UNFORESEEN


def refusal_of(tenant: str, message: Message, job: ImageJob | Rejection, why: Rejection) -> Refusal:
    """The refusal of a message, with the name of its image where it has one."""
    sha256 = value_digest(message)
    return Refusal(
        tenant=tenant,
        topic=message.topic,
        topic_id=message.topic_id,
        partition=message.partition,
        offset=message.offset,
        message_time=message.timestamp,
        bytes=len(message.value or b""),
        code=why.code,
        detail=why.detail,
        limit=why.limit,
        value=why.value,
        # Without a job its headers are at fault, which say the same whoever reads them.
        image_id=job.image_id if isinstance(job, ImageJob) else None,
        sha256=sha256,
        message=message_digest(message, sha256),
    )


def given_up(times: int, how: str) -> Rejection:
    """The rejection of a message that was tried so many times and failed in that way at last."""
    detail = f"tried {times} times by itself, the last time: {how}"
    return Rejection(UNFORESEEN, detail, value=times)


def plain(refusal: Refusal, why: Rejection) -> Refusal:
    """The refusal with that reason, and without anything that the first reason had.

    It takes no image's name either: what is stored there may be what can't be handled.
    """
    return replace(refusal, code=why.code, detail=why.detail, limit=None, value=None, image_id=None)
