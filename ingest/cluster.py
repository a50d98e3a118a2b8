"""Kafka cluster checks: connection, login, topics."""

import time

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ingest.errors import KafkaUnavailable, TopicMissing
from ingest.kafka_errors import reason_of, unavailable
from ingest.librdkafka import FRAMING_BYTES, SILENT, client_config
from ingest.settings import IngestSettings

_ADMIN_SECONDS = 5.0
# The same as the default retention of images.
_RETENTION_MS = 7 * 24 * 3600 * 1000
_TURN_SECONDS = 0.5
_LOGIN_FAILED = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}  # noqa: SLF001
_LOGIN = "PIXLAKE_KAFKA_SASL_USERNAME, PIXLAKE_KAFKA_SASL_PASSWORD"


def check_cluster(settings: IngestSettings, seconds: float) -> None:
    """Ask the cluster for its topics before a start; blocks for at most `seconds`.

    Raises KafkaUnavailable, which names the failure and the setting to check. A refused login fails
    at once, although the client would retry for ever. A cluster that accepts the connection and
    does not answer in time is no error, because it may only be busy.
    """
    errors: list[KafkaError] = []
    admin = _impatient(settings, seconds, errors)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            existing = admin.list_topics(timeout=_TURN_SECONDS).topics.keys()
        except KafkaException:
            admin.poll(0)  # runs the callback that fills `errors`
            if refused := [fault for fault in errors if fault.code() in _LOGIN_FAILED]:
                raise _unreachable(settings, refused[0], _LOGIN) from None
        else:
            _refuse_missing(settings, {settings.kafka_topic, settings.dead_letters} - existing)
            return
    if (precise := _most_precise(errors)) is not None:
        raise _unreachable(settings, precise, "KAFKA_BOOTSTRAP_SERVERS")


def _most_precise(errors: list[KafkaError]) -> KafkaError | None:
    """Choose a refused login, else the first error of one broker; None if there is neither."""
    # "All brokers down" is only a summary.
    precise = [fault for fault in errors if fault.code() != KafkaError._ALL_BROKERS_DOWN]  # noqa: SLF001
    return next((fault for fault in precise if fault.code() in _LOGIN_FAILED), None) or next(
        iter(precise), None
    )


def _impatient(settings: IngestSettings, seconds: float, errors: list[KafkaError]) -> AdminClient:
    """Create a client with a short connection time-out that appends every error to `errors`."""
    connect_ms = max(1000, int(seconds * 1000 / 2))
    try:
        return AdminClient(
            client_config(settings)
            | SILENT
            | {"error_cb": errors.append, "socket.connection.setup.timeout.ms": connect_ms}
        )
    except KafkaException as error:
        reason = reason_of(error)
        raise KafkaUnavailable(f"{reason}; see PIXLAKE_KAFKA_SSL_* and _SASL_*") from error


def _unreachable(settings: IngestSettings, fault: KafkaError, setting: str) -> KafkaUnavailable:
    where = settings.kafka_bootstrap_servers
    return KafkaUnavailable(f"Kafka at {where} can't be used: {fault.str()}; see {setting}")


def _refuse_missing(settings: IngestSettings, missing: set[str]) -> None:
    if missing and not settings.kafka_create_topics:
        names = ", ".join(sorted(missing))
        raise TopicMissing(
            f"no such topic: {names}; create it, or set PIXLAKE_KAFKA_CREATE_TOPICS=true"
        )


def ensure_topics(settings: IngestSettings) -> None:
    """Create the topic and the dead-letter topic unless they exist; blocks.

    Raises KafkaUnavailable, also for a missing topic that the settings forbid to create.
    """
    errors: list[KafkaError] = []
    admin = AdminClient(client_config(settings) | SILENT | {"error_cb": errors.append})
    wanted = {settings.kafka_topic: settings.kafka_topic_partitions, settings.dead_letters: 1}
    try:
        missing = wanted.keys() - admin.list_topics(timeout=_ADMIN_SECONDS).topics.keys()
    except KafkaException as error:
        admin.poll(0)  # runs the callback that fills `errors`
        raise unavailable(_most_precise(errors) or error.args[0]) from error
    _refuse_missing(settings, missing)
    limit = settings.kafka_max_message_bytes + FRAMING_BYTES
    config = {"retention.ms": str(_RETENTION_MS), "max.message.bytes": str(limit)}
    new = [NewTopic(name, wanted[name], -1, config=config) for name in sorted(missing)]
    for name, future in admin.create_topics(new).items() if new else ():
        try:
            future.result(_ADMIN_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise unavailable(error.args[0], f"topic {name}: ") from error
