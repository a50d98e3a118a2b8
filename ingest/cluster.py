"""The cluster as a whole: whether it can be reached, and the topics in it."""

import time

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ingest.errors import KafkaUnavailable
from ingest.kafka import SILENT, reason_of
from ingest.librdkafka import FRAMING_BYTES, client_config
from ingest.settings import IngestSettings

_ADMIN_SECONDS = 5.0
# Kafka keeps messages no longer than we keep images.
_RETENTION_MS = 7 * 24 * 3600 * 1000
_TURN_SECONDS = 0.5
_LOGIN_FAILED = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}  # noqa: SLF001
_LOGIN = "PIXLAKE_KAFKA_SASL_USERNAME, PIXLAKE_KAFKA_SASL_PASSWORD"


def check_cluster(settings: IngestSettings, seconds: float) -> None:
    """Ask the cluster for its topics, once, before a start; blocks for at most `seconds`.

    Raises KafkaUnavailable, which says what failed and which setting to look at. A refused login is
    told at once; the client itself would try for ever. A cluster that took the connection and does
    not answer in time passes: it is busy, as this machine may be.
    """
    said: list[KafkaError] = []
    admin = _impatient(settings, seconds, said)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            there = admin.list_topics(timeout=_TURN_SECONDS).topics.keys()
        except KafkaException:
            admin.poll(0)  # brings `said` up to date
            if refused := [fault for fault in said if fault.code() in _LOGIN_FAILED]:
                raise _unreachable(settings, refused[0], _LOGIN) from None
        else:
            _refuse_missing(settings, {settings.kafka_topic, settings.dead_letters} - there)
            return
    # That all brokers are down follows from what is told of each.
    if told := [fault for fault in said if fault.code() != KafkaError._ALL_BROKERS_DOWN]:  # noqa: SLF001
        raise _unreachable(settings, told[0], "KAFKA_BOOTSTRAP_SERVERS")


def _impatient(settings: IngestSettings, seconds: float, said: list[KafkaError]) -> AdminClient:
    """A client that writes each fault into `said`, and does not wait long for a connection."""
    connect_ms = max(1000, int(seconds * 1000 / 2))
    try:
        return AdminClient(
            client_config(settings)
            | SILENT
            | {"error_cb": said.append, "socket.connection.setup.timeout.ms": connect_ms}
        )
    except KafkaException as error:
        reason = reason_of(error)
        raise KafkaUnavailable(f"{reason}; see PIXLAKE_KAFKA_SSL_* and _SASL_*") from error


def _unreachable(settings: IngestSettings, fault: KafkaError, setting: str) -> KafkaUnavailable:
    where = settings.kafka_bootstrap_servers
    return KafkaUnavailable(f"no Kafka for us at {where}: {fault.str()}; see {setting}")


def _refuse_missing(settings: IngestSettings, missing: set[str]) -> None:
    if missing and not settings.kafka_create_topics:
        names = ", ".join(sorted(missing))
        raise KafkaUnavailable(
            f"no such topic: {names}; make it, or set PIXLAKE_KAFKA_CREATE_TOPICS=true"
        )


def ensure_topics(settings: IngestSettings) -> None:
    """Create the topic and the dead-letter topic unless they exist; blocks.

    Raises KafkaUnavailable, also when one is missing that we may not create.
    """
    admin = AdminClient(client_config(settings) | SILENT)
    wanted = {settings.kafka_topic: settings.kafka_topic_partitions, settings.dead_letters: 1}
    try:
        missing = wanted.keys() - admin.list_topics(timeout=_ADMIN_SECONDS).topics.keys()
    except KafkaException as error:
        raise KafkaUnavailable(reason_of(error)) from error
    _refuse_missing(settings, missing)
    limit = settings.kafka_max_message_bytes + FRAMING_BYTES
    config = {"retention.ms": str(_RETENTION_MS), "max.message.bytes": str(limit)}
    new = [NewTopic(name, wanted[name], -1, config=config) for name in sorted(missing)]
    for name, future in admin.create_topics(new).items() if new else ():
        try:
            future.result(_ADMIN_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise KafkaUnavailable(f"topic {name}: {reason_of(error)}") from error
