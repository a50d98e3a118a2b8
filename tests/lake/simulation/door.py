"""Kafka ingest of one process: the real `BatchProcessor` on a lake, and workers without pixels.

The first bytes of a message decide its outcome: `bad` is refused always, `odd` by some decoders,
all else is a photo. The default preset changes between reads, as in a rolling update.
"""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from ingest.batch_processor import BatchProcessor, Outcome
from ingest.dead_letters import DeadLetters
from ingest.errors import KafkaUnavailable
from ingest.in_flight import InFlight
from ingest.messages import DEAD_LETTER, Headers, Message, MessageDefaults, to_job
from ingest.offsets import TrackedOffset
from ingest.settings import IngestSettings
from lake import layout
from lake.commit.records import parse_record
from lake.commit.rejections import parse_rejected
from lake.errors import LakeError
from lake.lake import Lake
from lake.tables.schema import ImageRecord
from processors.errors import DecoderCrashed, Undecodable
from processors.job import ImageJob, content_hash
from processors.preset import Preset
from processors.replica_answers import Answer
from processors.worker import rejection_id_of, request_of
from tests.lake.samples import TENANT, record
from tests.lake.simulation.bucket import Process
from tests.lake.simulation.world import World

BAD, ODD = b"bad", b"odd"
_FAILURES = {BAD: Undecodable, ODD: DecoderCrashed}
REASONS = {data: kind.code for data, kind in _FAILURES.items()}

_SETTINGS = IngestSettings(kafka_tenant=TENANT)


@dataclass(slots=True)
class Ledger:
    """Outcomes of messages in all processes, and the images whose erasure was requested."""

    settled: list[tuple[Message, Outcome]] = field(default_factory=list)
    letters: list[tuple[Message, str]] = field(default_factory=list)
    """each dead letter and its code"""
    erased: set[str] = field(default_factory=set)
    """SHA-256 of the bytes of each image whose erasure has begun"""
    windows: dict[str, datetime] = field(default_factory=dict)
    """SHA-256 of the bytes of every image and refusal that was ever stored, to its first window"""

    def watch(self, world: World) -> None:
        """Note the images and refusals that are stored from now on."""

        def note(key: str) -> None:
            if key not in world.bucket.objects:
                return
            if key.endswith("record.json"):
                found = parse_record(key, world.bucket.objects[key][0])
                if isinstance(found, ImageRecord):
                    self.windows.setdefault(found.sha256, found.window_start)
            elif key.startswith(layout.REJECTION_RECORDS):
                refused = parse_rejected(key, world.bucket.objects[key][0])
                if refused.sha256:
                    self.windows.setdefault(refused.sha256, refused.window_start)

        world.bucket.watchers.append(note)


class Door:
    """Settles messages for one process; `ledger` gets outcomes while the process is alive."""

    def __init__(self, world: World, process: Process, lake: Lake, ledger: Ledger) -> None:
        self._world = world
        self._process = process
        self._lake = lake
        self._ledger = ledger
        letters = DeadLetters(self, "images.dead-letters")
        self.note = lake.rejections.settle
        self._delivery = BatchProcessor(self.submit, self.note, letters, self.settled, _SETTINGS)

    async def read(self, message: Message, ticket: TrackedOffset) -> None:
        """Process a message; return when it is settled."""
        await self._delivery.deliver([self.flight(message, ticket)])

    def flight(self, message: Message, ticket: TrackedOffset) -> InFlight:
        """The message as it is in flight, with one of two default presets."""
        preset = self._world.dice.choice(["web", "thumbnail"])
        terms = MessageDefaults(TENANT, preset, 10_000_000)
        return InFlight(message, ticket, to_job(message, terms, self._world.bucket.now()))

    async def send(self, topic: str, value: bytes | None, key: bytes | None, head: Headers) -> None:
        """Send a dead letter; the call may fail although the letter has arrived."""
        dice, fault = self._world.dice, self._world.bucket.fault_rate
        await asyncio.sleep(dice.uniform(0, 2))
        if not self._process.alive:
            await self._world.loop.create_future()
        lost = dice.random() < fault
        if not lost or dice.random() < 0.5:
            code = dict(head)[f"{DEAD_LETTER}code"] or b""
            letter = Message(topic, "", 0, 0, value, key, head)
            self._ledger.letters.append((letter, code.decode()))
        if lost:
            raise KafkaUnavailable("no answer")

    def settled(self, flight: InFlight, outcome: Outcome) -> None:
        """Note the outcome of a message, if the process is alive."""
        if self._process.alive and outcome != "dropped":
            self._ledger.settled.append((flight.message, outcome))

    async def submit(self, jobs: list[ImageJob]) -> list[Answer]:
        """Process jobs in place of the workers."""
        return list(await asyncio.gather(*map(self._one, jobs)))

    async def _one(self, job: ImageJob) -> Answer:
        data = job.data.tobytes()
        if job.message_time is not None:
            try:
                await self._lake.committer.check_message(job.message_time)
            except LakeError as error:
                return error
        if job.look_first and await self._is_stored(job, data):
            return "replayed"
        crashed = data.startswith(ODD) and self._world.dice.random() < 0.5
        if data.startswith(BAD) or crashed:
            return _FAILURES[data[:3]]("the pixels do not decode")
        try:
            return await self._commit(job, data)
        except LakeError as error:
            return error

    async def _is_stored(self, job: ImageJob, data: bytes) -> bool:
        """Look the image of a message up, as the worker does for a message that may come again."""
        request = request_of(job, digest(data))
        with suppress(LakeError):
            replay = self._lake.committer.replay
            return await replay(job.tenant, job.image_id, request) is not None
        return False

    async def _commit(self, job: ImageJob, data: bytes) -> Answer:
        assert job.position
        assert isinstance(job.preset, Preset)
        committer = self._lake.committer
        attempt = await committer.begin(
            job.tenant, job.image_id, rejection_id_of(job), job.message_time
        )
        made = record(
            attempt,
            data,
            source="kafka",
            topic=job.position.topic,
            partition=job.position.partition,
            offset=job.position.offset,
            metadata=dict(job.metadata),
            content_hash=content_hash(digest(data), job.preset, job.metadata),
            received_at=self._world.bucket.now().replace(microsecond=0),
        )
        objects = {made.original_key: data, made.renditions[0].key: data + b" small"}
        return (await committer.commit(attempt, made, objects)).outcome


def digest(data: bytes) -> str:
    """SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()
