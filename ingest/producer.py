"""Producer of dead letters, built on confluent-kafka."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import KafkaError, KafkaException, Producer

from ingest.kafka_errors import send_fault
from ingest.librdkafka import DELIVERY_MS, SILENT, producer_config
from ingest.messages import Headers
from ingest.settings import IngestSettings
from lake.logs import logger

log = logger(__name__)

_FATAL = KafkaError._FATAL  # noqa: SLF001  # the library's own name


class KafkaProducer:
    """Producer whose `send` returns once the cluster has the message.

    Any number of tasks of one event loop may use it.
    """

    def __init__(self, settings: IngestSettings) -> None:
        self._config = producer_config(settings) | SILENT
        self._fatal: KafkaError | None = None  # cause of the last fatal error
        self._client = Producer(self._config)
        # A thread of its own, because sends wait here while the cluster is unavailable.
        self._thread = ThreadPoolExecutor(1, "kafka-producer")

    async def send(self, topic: str, value: bytes | None, key: bytes | None, head: Headers) -> None:
        """Send a message and wait for the cluster.

        Raises MessageTooLarge, KafkaUnavailable; the message may have arrived all the same.
        """
        client = self._client
        try:
            fault = await self._sent(client, topic, value, key, head)
        except (KafkaException, BufferError, SystemError) as error:
            # The library raises SystemError if a callback and a fatal error come together.
            fault = _fault_of(error)
        if fault is None:
            self._fatal = None
            return
        raise send_fault(self._judged(client, fault))

    async def _sent(
        self, client: Producer, topic: str, value: bytes | None, key: bytes | None, head: Headers
    ) -> object:
        """Send a message; return the error of its delivery, None if the cluster has the message."""
        answers: list[KafkaError | None] = []
        client.produce(
            topic, value, key, headers=list(head), on_delivery=lambda e, _: answers.append(e)
        )
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, client.flush, 2 * DELIVERY_MS / 1000)
        return answers[0] if answers else "no answer"

    async def close(self) -> None:
        """Discard unsent messages."""
        with contextlib.suppress(KafkaException):
            self._client.purge()
        await asyncio.to_thread(self._thread.shutdown)

    def _judged(self, client: Producer, fault: object) -> object:
        """Replace the producer after a fatal error; return the error that was the cause.

        A producer that met a fatal error refuses every message, also in `produce`.
        """
        if not isinstance(fault, KafkaError) or not (fault.fatal() or fault.code() == _FATAL):
            return fault
        # After the first time, the library reports a fatal error without its cause.
        if fault.code() != _FATAL:
            self._fatal = fault
        cause = self._fatal or fault
        if client is self._client:
            log.warning("the producer of dead letters is replaced", error=cause.str())
            self._client = Producer(self._config)
        return cause


def _fault_of(error: BaseException) -> object:
    """Kafka's error in an exception or in its cause; raises an exception of another kind."""
    if isinstance(error, KafkaException | BufferError):
        return error.args[0]
    if isinstance(error.__cause__, KafkaException):
        return error.__cause__.args[0]
    raise error
