"""Faults of the Kafka door, and what each one means for the stream.

IngestError
  x InvalidMessage          the message's own fault; the same message fails again
      · InvalidHeader         invalid_header         limit, value: bytes, entries, or the header
      · InvalidEvent          invalid_event          value: the CloudEvents attribute
  x KafkaUnavailable        kafka_unavailable      the cluster did not answer; try again
  x WorkersUnavailable      workers_unavailable    nobody took the batch; try again, blame nobody
  x MessageTooLarge         message_too_large      a topic does not take a message of that size
  x StreamStopped           stream_stopped         no turn can succeed until somebody acts
      · TooManyDeadLetters    too_many_dead_letters  limit: dead letters in a row

Verdicts, for whatever comes back for a message:
  retry         Failure.retry, WorkersUnavailable, KafkaUnavailable, a batch that raised or that
                was out of time; a shortage of memory, threads or files, wherever it shows
  dead-letter   InvalidMessage, every Failure that is final; `processing_failed`: a message
                that took its batch down again and again, also when it was alone in it, or that
                ended in an exception that nobody foresaw so often (restarts included), over a
                least time
  erased        image_erased: the image was there and somebody had it deleted; nothing to do
  crash         StreamStopped, and the codes in `CRASHES`; no offset moves

Every error survives pickling and carries a stable `code`.
"""

from typing import Literal

from lake.errors import CodedError

Verdict = Literal["retry", "dead-letter", "erased", "crash"]

ERASED = "image_erased"
# A store that lies about create-only writes would double rows; the message is not to blame.
# Nor is it where the store is another one than this process takes it for.
CRASHES = frozenset(
    {
        "store_untrustworthy",
        "store_misused",
        "store_missing",
        "store_contradicted",
        "store_undecided",
        "store_too_new",
    }
)


def verdict(code: str, *, retry: bool) -> Verdict:
    """What becomes of a message that failed with this code."""
    if retry:
        return "retry"
    if code == ERASED:
        return "erased"
    return "crash" if code in CRASHES else "dead-letter"


class IngestError(CodedError):
    """A fault of the Kafka door."""

    code = "ingest_error"


class InvalidMessage(IngestError):
    """The message is at fault, before its bytes are looked at."""

    code = "invalid_message"


class InvalidHeader(InvalidMessage):
    """A header that we read is not text, comes twice, is too long, or there are too many."""

    code = "invalid_header"


class InvalidEvent(InvalidMessage):
    """The headers announce a CloudEvent and do not make one."""

    code = "invalid_event"


class KafkaUnavailable(IngestError):
    """The cluster did not answer, or answered with a fault of its own; try again."""

    code = "kafka_unavailable"


class WorkersUnavailable(IngestError):
    """Whoever submits batches raises this when nobody took the batch, so none of it is to blame."""

    code = "workers_unavailable"


class MessageTooLarge(IngestError):
    """The topic does not take a message of that size."""

    code = "message_too_large"


class StreamStopped(IngestError):
    """The consumer ended itself; nothing was committed that is not durable."""

    code = "stream_stopped"


class TooManyDeadLetters(StreamStopped):
    """More messages in a row were refused than the operator allows."""

    code = "too_many_dead_letters"
