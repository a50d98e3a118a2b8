"""Wire format: conversion of a Kafka message to an `ImageJob`. Pure functions, no client.

Value: the bytes of one image. Headers, all optional, values UTF-8:
  pixlake-preset         name of the preset, or name@version; the workers look it up
  pixlake-filename       a label; only the last part of a path is kept
  pixlake-meta-<name>    metadata of the image
  ce_id, ce_source, …    CloudEvents 1.0, binary mode: `ce_source` and `ce_id` make the identity,
                         `ce_time` the event time; id, source, type, subject become metadata
Another header that begins with `pixlake-`, in upper or lower case, is refused, because it is
probably misspelt. Headers of a dead letter (`pixlake-dead-letter-…`), null headers and all other
headers are ignored. Without a CloudEvent, the identity is topic, partition, offset and a digest of
the message; these are the same whenever the message is read.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ingest.errors import InvalidEvent, InvalidHeader
from ingest.offsets import Partition
from processors.errors import EmptyImage, TooManyBytes
from processors.job import ImageJob, KafkaPosition, by_event, by_position
from processors.nearest import unknown
from processors.preset import PresetName, find_builtin
from processors.untrusted_text import (
    MAX_METADATA_BYTES,
    MAX_METADATA_ENTRIES,
    MAX_METADATA_VALUE_BYTES,
    METADATA_NAME,
    clean_filename,
    is_printable,
)

PRESET = "pixlake-preset"
FILENAME = "pixlake-filename"
METADATA = "pixlake-meta-"
DEAD_LETTER = "pixlake-dead-letter-"
"""Prefix of the headers of a dead letter, which may be sent back into the topic."""
_OURS = "pixlake-"
HEADERS = (PRESET, FILENAME, f"{METADATA}<name>")
"""Headers of Pixlake that a message may have; docs/kafka.md describes them."""
CONTENT_TYPE = "content-type"
_EVENT_METADATA = ("ce_id", "ce_source", "ce_type", "ce_subject")
EVENT_HEADERS = (*_EVENT_METADATA, "ce_specversion", "ce_time")
_STRUCTURED = "application/cloudevents"

# Kafka 0.10, the first version whose messages have times, is of May 2016.
_FIRST_TIMESTAMPS = datetime(2016, 5, 1, tzinfo=UTC)

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Message:
    """Message as it was read; `timestamp` is the producer's, None if it is missing or invalid."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp: datetime | None = None
    appended_at: datetime | None = None
    """Time at which the broker appended the message; None in a topic with times of producers."""
    headers_fault: str | None = None
    """Reason if the headers could not be read."""
    epoch: int | None = None
    """Epoch of the leader that appended the message; None if unknown."""

    @property
    def source(self) -> Partition:
        """Partition that the message was read from."""
        return Partition(self.topic, self.partition)

    @property
    def names(self) -> dict[str, object]:
        """Fields of log lines: the position of the message."""
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset}

    @property
    def time(self) -> datetime | None:
        """Time by which the message expires; None if no time can be that of its sending.

        A producer without a clock sends times such as 1970 or 2000, and its images must not expire
        at once.
        """
        if self.appended_at is not None:
            return self.appended_at
        plausible = self.timestamp is not None and self.timestamp >= _FIRST_TIMESTAMPS
        return self.timestamp if plausible else None

    @property
    def size(self) -> int:
        """Size of key, value and headers in bytes."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.value or b"") + len(self.key or b"") + headers


@dataclass(frozen=True, slots=True)
class MessageDefaults:
    """Defaults for messages, the size limit in bytes, and whether messages expire."""

    tenant: str
    default_preset: str
    max_bytes: int
    expire: bool = True


def to_job(message: Message, defaults: MessageDefaults, received_at: datetime) -> ImageJob:
    """Convert a message to a job.

    Raises InvalidMessage (its headers) or processors' Refused (EmptyImage, TooManyBytes,
    UnknownPreset).
    """
    if message.headers_fault is not None:
        raise InvalidHeader(message.headers_fault)
    texts = _texts(message.headers)
    data = _data(message, defaults.max_bytes)
    sha256 = value_digest(message)
    position = KafkaPosition(
        message.topic,
        message.topic_id,
        message.partition,
        message.offset,
        message_digest(message, sha256),
    )
    event = _event(texts)
    filename = texts.get(FILENAME)
    if texts.get(PRESET) == "":
        raise InvalidHeader(
            f"header {PRESET!r} is empty; name a preset, or leave the header out", value=PRESET
        )
    preset = PresetName.parse(texts.get(PRESET, defaults.default_preset))
    if PRESET in texts:
        preset = preset.used_by(defaults.tenant)
    return ImageJob(
        tenant=defaults.tenant,
        source="kafka",
        identity=event or by_position(position),
        data=np.frombuffer(data, dtype=np.uint8),
        preset=find_builtin(preset) or preset,
        newest=preset.moves,
        requested_preset=str(preset) if PRESET in texts else "",
        sha256=sha256,
        received_at=received_at,
        metadata=_metadata(texts),
        filename=clean_filename(filename) if filename else None,
        event_time=_event_time(texts.get("ce_time")) or message.timestamp,
        position=position,
        message_time=message.time if defaults.expire else None,
    )


def value_digest(message: Message) -> str:
    """SHA-256 of the value, in hex."""
    return hashlib.sha256(message.value or b"").hexdigest()


def message_digest(message: Message, sha256: str) -> str:
    """SHA-256 of all fields that the producer wrote, in hex; `sha256` is that of the value.

    Kafka returns the same key, headers and time whenever a message is read.
    """
    key, time = _hex(message.key), message.timestamp
    headers = [(name, _hex(value)) for name, value in message.headers]
    fields = [sha256, key, headers, time.isoformat() if time else None]
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


def _hex(text: bytes | None) -> str | None:
    return None if text is None else text.hex()


def moment(milliseconds: int) -> datetime | None:
    """Convert a message's timestamp to UTC; None if it is out of range."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _data(message: Message, limit: int) -> bytes:
    if not message.value:
        raise EmptyImage("the message has no value (ce_dataref is not followed)")
    if len(message.value) > limit:
        raise TooManyBytes(
            "the message is larger than the limit", limit=limit, value=len(message.value)
        )
    return message.value


def _texts(headers: Headers) -> dict[str, str]:
    """Decode the headers that Pixlake reads and check their limits; ignores null headers.

    Raises InvalidHeader, also for a header with the prefix of Pixlake that it does not know.
    """
    texts: dict[str, str] = {}
    total = 0
    for name, value in headers:
        if value is None:
            continue
        shown = name[:100]
        if not _is_known(name):
            _refuse_misspelt(shown)
            continue
        if name in texts:
            raise InvalidHeader(f"header {shown!r} is repeated", value=shown)
        _within(f"bytes in header {shown!r}", len(value), MAX_METADATA_VALUE_BYTES)
        total += len(name.encode("utf-8", "surrogatepass")) + len(value)
        texts[name] = _text(shown, value)
    _within("bytes in its headers", total, MAX_METADATA_BYTES)
    return texts


def _refuse_misspelt(name: str) -> None:
    plain = name.lower()
    if plain.startswith(_OURS) and not plain.startswith(DEAD_LETTER):
        raise InvalidHeader(unknown("header", name, HEADERS), value=name)


def _is_known(name: str) -> bool:
    return name in (*HEADERS, *EVENT_HEADERS, CONTENT_TYPE) or name.startswith(METADATA)


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidHeader(f"header {name!r} is not UTF-8", value=name) from None
    if name != FILENAME and not is_printable(text):  # file names are cleaned
        raise InvalidHeader(f"header {name!r} has unprintable characters", value=name)
    return text


def _event(texts: Mapping[str, str]) -> tuple[str, ...] | None:
    """Identity by the CloudEvents headers; None without such headers."""
    if texts.get(CONTENT_TYPE, "").lower().startswith(_STRUCTURED):
        raise InvalidEvent(
            "only CloudEvents in binary mode are supported", value=texts[CONTENT_TYPE]
        )
    if not any(name in texts for name in ("ce_specversion", "ce_id", "ce_source")):
        return None
    version = texts.get("ce_specversion", "1.0")
    if not version.startswith("1."):
        raise InvalidEvent("only CloudEvents 1.x is supported", value=version)
    for name in ("ce_id", "ce_source"):
        if not texts.get(name):
            raise InvalidEvent(f"a CloudEvent must have {name}", value=name)
    return by_event(texts["ce_source"], texts["ce_id"])


def _event_time(text: str | None) -> datetime | None:
    """Parse `ce_time` (RFC 3339) to UTC."""
    if text is None:
        return None
    try:
        # RFC 3339 also allows `t` and `z`, which Python does not.
        parsed = datetime.fromisoformat(text.upper())
        if parsed.tzinfo is not None:
            return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidEvent("ce_time must be an RFC 3339 time with a zone", value="ce_time")


def _metadata(texts: Mapping[str, str]) -> dict[str, str]:
    metadata = {name: texts[name] for name in _EVENT_METADATA if name in texts}
    for header, value in texts.items():
        if header.startswith(METADATA):
            name = header.removeprefix(METADATA)
            if METADATA_NAME.fullmatch(name) is None:
                raise InvalidHeader(
                    f"a metadata name must match {METADATA_NAME.pattern}", value=header[:100]
                )
            if name in metadata:
                raise InvalidHeader(f"metadata {name!r} is repeated", value=name)
            metadata[name] = value
    _within("metadata entries", len(metadata), MAX_METADATA_ENTRIES)
    return metadata


def _within(what: str, value: int, limit: int) -> None:
    if value > limit:
        raise InvalidHeader(f"the message has too many {what}", limit=limit, value=value)
