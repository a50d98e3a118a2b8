"""Rules of what makes a message the same message, each taken out."""

from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest import mock

from lake.rejections import Refusal
from lake.schema import ImageRecord, Tombstone
from processors.job import KafkaPosition
from tests.lake.simulation.mutants_of_images import Mutant


def position_names_an_image() -> AbstractContextManager[Any]:
    """The identity of an image is the position of its message, whatever the message says."""

    def named(position: KafkaPosition) -> tuple[str, ...]:
        return "offset", position.topic_id, str(position.partition), str(position.offset)

    return mock.patch("ingest.messages.by_position", named)


def position_names_a_refusal() -> AbstractContextManager[Any]:
    """Reasons are kept by position: what stands there later is refused with them."""

    def named(topic_id: str, partition: int, offset: int, _message: str) -> str:
        return f"{topic_id.encode().hex()}{partition:08x}{offset:016x}"

    return _both(
        mock.patch("lake.rejections.rejection_id", named),
        mock.patch("processors.worker.rejection_id", named),
    )


def position_names_a_message() -> AbstractContextManager[Any]:
    """An image is taken for that of a message because topic, partition and offset are equal."""

    def is_of(refusal: Refusal, record: ImageRecord) -> bool:
        mine = refusal.topic, refusal.partition, refusal.offset
        return (record.topic, record.partition, record.offset) == mine

    def message(record: ImageRecord) -> tuple[object, ...]:
        return record.topic, record.partition, record.offset

    return _both(
        mock.patch("lake.rejections._is_of", is_of), mock.patch("lake.records._message", message)
    )


def preset_makes_another_message() -> AbstractContextManager[Any]:
    """A message is known again by its content hash, which holds the preset's version."""

    def same(found: ImageRecord, mine: ImageRecord) -> bool:
        return found.content_hash == mine.content_hash

    return _both(
        mock.patch("lake.records._same", same),
        mock.patch("lake.rejections._is_of", return_value=False),
    )


def tombstone_of_any_bytes() -> AbstractContextManager[Any]:
    """A tombstone does not know which bytes were erased."""
    return mock.patch.object(Tombstone, "is_of", return_value=True)


def _both(*patches: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
    both = ExitStack()
    for patch in patches:
        both.enter_context(patch)
    return both


OF_POSITIONS: tuple[Mutant, ...] = (
    position_names_an_image,
    position_names_a_refusal,
    position_names_a_message,
    preset_makes_another_message,
    tombstone_of_any_bytes,
)
