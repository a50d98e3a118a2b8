"""Mutants that lack one rule by which a message or a topic is recognised as the same."""

from contextlib import AbstractContextManager, ExitStack
from datetime import timedelta
from typing import Any
from unittest import mock

from ingest.messages import Message
from ingest.offsets import Offsets, Partition, TrackedOffset
from ingest.positions import Place
from ingest.silence import SilenceWatch
from ingest.stream import Stream
from lake.commit.records import Commit, Committer
from lake.commit.rejections import Refusal
from lake.commit.requests import LookUp, Request
from lake.tables.schema import ImageRecord, Tombstone
from processors.job import KafkaPosition
from tests.lake.simulation.broker import Client
from tests.lake.simulation.mutants_of_images import Mutant


def position_names_an_image() -> AbstractContextManager[Any]:
    """The identity of an image is the position of its message, whatever the message contains."""

    def named(position: KafkaPosition) -> tuple[str, ...]:
        return "offset", position.topic_id, str(position.partition), str(position.offset)

    return mock.patch("ingest.messages.by_position", named)


def position_names_a_refusal() -> AbstractContextManager[Any]:
    """Reasons are kept by position: a later message at that position is refused for them."""

    def named(topic_id: str, partition: int, offset: int, _message: str) -> str:
        return f"{topic_id.encode().hex()}{partition:08x}{offset:016x}"

    return _both(
        mock.patch("lake.commit.rejections.rejection_id", named),
        mock.patch("processors.worker.rejection_id", named),
    )


def position_names_a_message() -> AbstractContextManager[Any]:
    """An image counts as that of a message if topic, partition and offset are equal."""

    def is_of(refusal: Refusal, record: ImageRecord) -> bool:
        mine = refusal.topic, refusal.partition, refusal.offset
        return (record.topic, record.partition, record.offset) == mine

    def message(record: ImageRecord) -> tuple[object, ...]:
        return record.topic, record.partition, record.offset

    return _both(
        mock.patch("lake.commit.rejections._is_of", is_of),
        mock.patch("lake.commit.records._message", message),
    )


def preset_makes_another_message() -> AbstractContextManager[Any]:
    """A message is recognised by its content hash, which includes the preset's version."""

    def same(found: ImageRecord, mine: ImageRecord) -> bool:
        return found.content_hash == mine.content_hash

    return _both(
        mock.patch("lake.commit.records._same", same),
        mock.patch("lake.commit.rejections._is_of", return_value=False),
    )


def preset_makes_another_request() -> AbstractContextManager[Any]:
    """A request is recognised by its content hash, which includes the preset's version."""
    return mock.patch.object(Request, "of", return_value=None)


def refused_preset_hides_the_image() -> AbstractContextManager[Any]:
    """A request is refused by its preset of today, although its image was stored before."""
    return mock.patch.object(Committer, "replay", _nothing)


def preset_alone_makes_a_request() -> AbstractContextManager[Any]:
    """Requests with other bytes are the same if they name the same preset."""

    def of(record: ImageRecord) -> Request | None:
        named = record.requested_preset
        return None if named is None else Request("", named, record.metadata)

    return mock.patch.object(Request, "of", of)


def look_up_writes_no_row() -> AbstractContextManager[Any]:
    """A message whose record is found is settled without its row, which a crash may have left."""

    async def replay(
        self: Committer, tenant: str, image_id: str, request: Request, looked: LookUp | None = None
    ) -> Commit | None:
        found = (looked or await self.look_up(tenant, image_id)).record
        return Commit("replayed", found) if found and request.made(found) else None

    return mock.patch.object(Committer, "replay", replay)


def look_up_stays_true() -> AbstractContextManager[Any]:
    """A look-up counts however long ago it was made."""
    return mock.patch("lake.commit.records._LOOK_UP_AGE", timedelta(days=1))


async def _nothing(*_: object) -> None:
    return None


def tombstone_of_any_bytes() -> AbstractContextManager[Any]:
    """A tombstone does not know which bytes were erased."""
    return mock.patch.object(Tombstone, "is_of", return_value=True)


def commit_of_another_topic_counts() -> AbstractContextManager[Any]:
    """A topic that was created again is read from the group's offset in the old topic."""

    def begin(committed: Place | None, _topic: str, _topic_id: str) -> Place | None:
        return committed

    return mock.patch("ingest.stream.begin", begin)


def commit_without_an_epoch() -> AbstractContextManager[Any]:
    """A commit has no leader epoch: a log that was cut is read from the old offset."""
    return mock.patch.object(Offsets, "epoch", return_value=None)


def batch_of_an_unsure_topic() -> AbstractContextManager[Any]:
    """A batch is processed while its topic may be another one: topics are checked every 5 s."""
    sure = Stream._sure

    def careless(self: Stream) -> list[tuple[Message, TrackedOffset]]:
        batch, self._gathered = self._gathered, []
        sure(self)
        return batch

    return mock.patch.object(Stream, "_sure", careless)


def end_of_a_log_ends_open_messages() -> AbstractContextManager[Any]:
    """At the end of a log, the end is committed, although messages before it are unfinished."""
    ended = Offsets.ended

    def hasty(self: Offsets, partition: Partition, offset: int) -> None:
        ended(self, partition, offset)
        self._tracks[partition].tracked_offsets.clear()

    return mock.patch.object(Offsets, "ended", hasty)


def topic_goes_on_where_it_is() -> AbstractContextManager[Any]:
    """A client keeps its offsets in a topic that was created again."""

    def renamed(self: Stream) -> None:
        found = {p: self._client.topic_id(p.topic) for p in self._topic_ids}
        self._topic_ids |= {p: there for p, there in found.items() if there}

    return mock.patch.object(Stream, "_begin_anew", renamed)


def cluster_that_was_away_is_the_same() -> AbstractContextManager[Any]:
    """A client keeps its state after all brokers were away, and may be deaf to them for ever.

    The watch of silent partitions is out, too, because it replaces a deaf client a minute later.
    """
    return _both(
        mock.patch.object(
            Client, "was_away", property(lambda _: False, lambda *_: None), create=True
        ),
        mock.patch.object(SilenceWatch, "look", return_value=[]),
    )


def partition_may_be_silent() -> AbstractContextManager[Any]:
    """A client to which a shorter log is not told waits for ever."""
    return mock.patch.object(SilenceWatch, "look", return_value=[])


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
OF_REQUESTS: tuple[Mutant, ...] = (
    look_up_writes_no_row,
    preset_makes_another_request,
    refused_preset_hides_the_image,
    preset_alone_makes_a_request,
    look_up_stays_true,
)
OF_STREAMS: tuple[Mutant, ...] = (
    commit_of_another_topic_counts,
    commit_without_an_epoch,
    batch_of_an_unsure_topic,
    end_of_a_log_ends_open_messages,
    topic_goes_on_where_it_is,
    cluster_that_was_away_is_the_same,
    partition_may_be_silent,
)
