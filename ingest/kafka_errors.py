"""Errors of confluent-kafka, as errors of this package."""

from typing import Final

from confluent_kafka import KafkaError, KafkaException

from ingest.errors import KafkaDenied, KafkaUnavailable, MessageTooLarge, TopicMissing

_TOO_LARGE: Final = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE}
_DENIED: Final = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001  # the library's own name of the constant
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
_MISSING: Final = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
}


def reason_of(error: KafkaException) -> str:
    """Text of a Kafka error."""
    fault = error.args[0]
    return fault.str() if isinstance(fault, KafkaError) else str(fault)


def unavailable(fault: object, prefix: str = "") -> KafkaUnavailable:
    """Error for an answer of the cluster: KafkaDenied, TopicMissing or KafkaUnavailable."""
    if not isinstance(fault, KafkaError):
        return KafkaUnavailable(f"{prefix}{fault}")
    code = fault.code()
    kind = KafkaDenied if code in _DENIED else TopicMissing if code in _MISSING else None
    return (kind or KafkaUnavailable)(f"{prefix}{fault.str()}")


def send_fault(fault: object) -> KafkaUnavailable | MessageTooLarge:
    """Error for a message that was not sent."""
    if isinstance(fault, KafkaError) and fault.code() in _TOO_LARGE:
        return MessageTooLarge(fault.str())
    return unavailable(fault)
