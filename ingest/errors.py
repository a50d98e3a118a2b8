"""Errors of the Kafka consumer, and what each one means for the stream.

IngestError
  x InvalidMessage          fault of the message; the same message fails again
      · InvalidHeader         invalid_header         limit, value: bytes, entries, or the header
      · InvalidEvent          invalid_event          value: the CloudEvents attribute
  x KafkaUnavailable        kafka_unavailable      the cluster did not answer; try again
      · KafkaDenied           kafka_denied           it refused the login or a right
      · TopicMissing          topic_missing          there is no such topic
      · StreamNotReady        stream_not_ready       for `/readyz`; the detail has code and reason
  x WorkersUnavailable      workers_unavailable    no worker accepted the batch; try again
  x MessageTooLarge         message_too_large      the topic's limit is below the message's size
  x StreamStopped           stream_stopped         no retry can succeed until an operator acts
      · TooManyDeadLetters    too_many_dead_letters  limit: dead letters in a row

Verdicts for the result of a message:
  retry         Unavailable, Overloaded, WorkersUnavailable (also if Serve stopped the worker),
                KafkaUnavailable, a batch that raised an error or timed out; any shortage of memory,
                threads or files
  count         ProcessingFailed: retry until it is a dead letter
  dead-letter   InvalidMessage, every other error; `internal`: a message that killed
                its worker or raised an unexpected exception too often while alone in its batch
                (restarts included), over a minimum time
  erased        image_erased: the image was stored and then erased; nothing to do
  expired       message_expired: a row of rejections, but no dead letter, because the message is not
                at fault and does not count for the limit of dead letters
  crash         StreamStopped, and the errors in `CRASHES`; no offset is committed

Every error survives pickling and carries a stable `code`.
"""

from typing import Literal

from lake.errors import (
    CodedError,
    Fault,
    ImageErased,
    ImageExpiring,
    MessageExpired,
    RefusedBefore,
    StoreMisused,
    StoreUntrustworthy,
    Unavailable,
)
from processors.errors import Overloaded, ProcessingFailed

Verdict = Literal["retry", "count", "dead-letter", "erased", "expired", "crash"]

# Faults of the store, for which no message is to blame: it does not honour create-only writes and
# would duplicate rows, or it is not the store that this process expects.
CRASHES = (StoreUntrustworthy, StoreMisused)
_VERDICTS: tuple[tuple[tuple[type[CodedError], ...], Verdict], ...] = (
    ((Unavailable, Overloaded), "retry"),
    ((ProcessingFailed,), "count"),
    ((ImageErased,), "erased"),
    ((MessageExpired,), "expired"),
    (CRASHES, "crash"),
)


def verdict(error: CodedError) -> Verdict:
    """Verdict for a message that failed with this error."""
    if isinstance(error, RefusedBefore) and error.value == MessageExpired.code:
        return "expired"
    return next((said for kinds, said in _VERDICTS if isinstance(error, kinds)), "dead-letter")


class IngestError(CodedError):
    """Base class of all errors of the Kafka consumer."""

    code = "ingest_error"


class InvalidMessage(IngestError):
    """The message is invalid; its value was not decoded."""

    code = "invalid_message"


class InvalidHeader(InvalidMessage):
    """A header is not text, repeated, too long or unknown, or there are too many."""

    code = "invalid_header"


class InvalidEvent(InvalidMessage):
    """The headers announce a CloudEvent that is incomplete or not supported."""

    code = "invalid_event"


class KafkaUnavailable(IngestError):
    """The cluster did not answer, or answered with an error; try again."""

    code = "kafka_unavailable"


class KafkaDenied(KafkaUnavailable):
    """The cluster refused the login, or a right on a topic or on the group."""

    code = "kafka_denied"


class TopicMissing(KafkaUnavailable):
    """The topic of images or of dead letters does not exist."""

    code = "topic_missing"


class StreamNotReady(KafkaUnavailable):
    """The Kafka consumer reads or finishes no messages; the detail has code and reason."""

    code = "stream_not_ready"


class WorkersUnavailable(IngestError):
    """No worker accepted the batch, so none of its messages is to blame."""

    code = "workers_unavailable"


class MessageTooLarge(IngestError):
    """The topic does not accept a message of that size."""

    code = "message_too_large"


class StreamStopped(IngestError):
    """The consumer stopped itself; it committed durable offsets only."""

    code = "stream_stopped"


class TooManyDeadLetters(StreamStopped):
    """More messages in a row were refused than the settings allow."""

    code = "too_many_dead_letters"


def stays_stopped(error: BaseException | None) -> bool:
    """True if a consumer that ended with this error must not be replaced.

    A new consumer would try the same message again, and stop again.
    """
    return isinstance(error, TooManyDeadLetters)


_TIMEOUT = "batch_timeout"


def waiting_for(error: BaseException) -> Fault | None:
    """Fault that a message waits for, after an error that is not its own; fit for `/readyz`.

    None if the message waits for nothing but its own turn.
    """
    if isinstance(error, ImageExpiring):
        return None
    if isinstance(error, KafkaUnavailable):
        return Fault(error.code, f"dead letters can't be written: {error.detail}")
    if isinstance(error, WorkersUnavailable | Overloaded):
        return Fault(error.code, "messages wait for a worker")
    if isinstance(error, Unavailable):
        # The detail of the store may name keys and folders.
        return Fault(error.code, "messages wait for the store")
    if isinstance(error, TimeoutError):
        return Fault(_TIMEOUT, "batches are not done in time")
    return Fault(Overloaded.code, "messages wait for memory, threads or files")
