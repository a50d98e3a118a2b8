"""`pixlake produce`: writes image files to a Kafka topic."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pixlake.cli import output
from pixlake.cli.extras import extra
from pixlake.cli.failures import REFUSED, CliError, UsageFault, near
from pixlake.cli.files import find
from pixlake.cli.known_preset import check_preset
from pixlake.cli.messages import content_id, headers
from pixlake.cli.options import (
    FollowLinks,
    Json,
    JsonLines,
    Metadata,
    Paths,
    Preset,
    form_of,
    metadata_of,
    pairs,
)
from pixlake.cli.results import Result, Summary
from pixlake.cli.signals import Interrupted, interruptible
from pixlake.cli.target import find_bootstrap

# Largest message. Above Pixlake's limit of 25 MB, so that the server reports its own limit.
_MAX_MESSAGE_BYTES = 30_000_000
# Memory for messages in flight; larger than the largest message.
_QUEUE_KILOBYTES = 64_000
_CONNECT = "socket.connection.setup.timeout.ms"
_CONNECT_MS = 10_000.0
_TURN_SECONDS = 0.2
_DEADLINE_SECONDS = 120.0
_TOO_LARGE = "message_too_large"


def produce(
    paths: Paths,
    *,
    topic: Annotated[str, typer.Option("--topic", "-t", help="Topic to write to.")] = "images",
    bootstrap: Annotated[
        str | None,
        typer.Option(
            "--bootstrap",
            "-b",
            envvar="KAFKA_BOOTSTRAP_SERVERS",
            help="Kafka brokers; default: 127.0.0.1, port PIXLAKE_KAFKA_PORT or 9092.",
        ),
    ] = None,
    preset: Preset = None,
    metadata: Metadata = None,
    event_id: Annotated[
        bool,
        typer.Option(
            help="Identify each image by its content, so that a second run stores no image twice; "
            "otherwise every message is a new image."
        ),
    ] = True,
    deadline: Annotated[
        float, typer.Option(min=1, help="Seconds to keep trying, for each image.")
    ] = _DEADLINE_SECONDS,
    config: Annotated[
        list[str] | None,
        typer.Option(
            "--config", "-X", metavar="NAME=VALUE", help="librdkafka setting; repeatable."
        ),
    ] = None,
    follow_links: FollowLinks = False,
    jsonl: JsonLines = False,
    json: Json = False,
) -> None:
    """Write image files, and folders of image files, to a Kafka topic.

    Exits 0 when the broker has acknowledged all messages. The consumer then stores or refuses each
    image: see `pixlake ls` and the topic's dead letters. With --json the result lists all messages.
    """
    form = form_of(json=json, jsonl=jsonl)
    said = metadata_of(metadata)
    settings: dict[str, Any] = {
        "bootstrap.servers": find_bootstrap(bootstrap),
        "client.id": "pixlake",
        "enable.idempotence": True,  # implies acks=all; retries do not duplicate messages
        "message.max.bytes": _MAX_MESSAGE_BYTES,
        "queue.buffering.max.kbytes": _QUEUE_KILOBYTES,
        "delivery.timeout.ms": int(deadline * 1000),
        "log_level": 0,  # errors are reported by callbacks
        **pairs("--config", config),
    }
    if preset is not None:
        check_preset(preset, bootstrap=bootstrap)
    found = find(paths, follow_links=follow_links)
    limit = _limit(settings)
    run = ProduceRun(
        _connected(settings, topic), topic, limit, preset=preset, metadata=said, event_id=event_id
    )
    summary = Summary(("delivered",), found, form, about={"topic": topic})
    ended = None
    try:
        with interruptible():
            run.produce(found.files, summary)
    except Interrupted as signal:
        summary.stopped, ended = signal.name, signal.exit_code
        output.note(f"pixlake: {signal.name} ended the run")
    summary.show()
    if ended is not None or not summary.complete:
        raise typer.Exit(ended or REFUSED)


def _connected(settings: dict[str, Any], topic: str) -> Any:
    """Create a producer and check that the topic exists; raises UsageFault, CliError."""
    with extra("pixlake[kafka]"):
        from confluent_kafka import KafkaException, Producer  # noqa: PLC0415  # in an extra

    where = settings["bootstrap.servers"]
    try:
        producer = Producer(settings)
    except (KafkaException, ValueError, TypeError) as error:
        raise UsageFault(f"Kafka: {_said(error)}") from None
    try:
        # List all topics, because a request with the topic's name may create the topic.
        seconds = float(settings.get(_CONNECT, _CONNECT_MS)) / 1000
        topics = producer.list_topics(timeout=seconds).topics
    except KafkaException as error:
        raise CliError(
            f"no Kafka broker answers at {where}: {_said(error)}; is `pixlake up` running? "
            "(--bootstrap, KAFKA_BOOTSTRAP_SERVERS)"
        ) from None
    if topic not in topics:
        raise CliError(f"there is no topic {topic!r} at {where}{near(topic, topics)}")
    return producer


class ProduceRun:
    """Run of `pixlake produce`; librdkafka sends, retries and reports for each message."""

    def __init__(
        self,
        producer: Any,
        topic: str,
        limit: int,
        *,
        preset: str | None,
        metadata: Mapping[str, str],
        event_id: bool,
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._limit = limit
        self._preset = preset
        self._metadata = metadata
        self._event_id = event_id

    def produce(self, files: Sequence[Path], summary: Summary) -> None:
        """Produce the files; returns once each message is delivered or has failed."""
        from pixlake.cli.progress import bar  # noqa: PLC0415  # slow; not for --help

        with bar("producing", len(files)) as advance:

            def report(result: Result) -> None:
                summary.add(result)
                advance(summary.bad)

            for path in files:
                refusal = self._send(path, report)
                if refusal is not None:
                    report(refusal)
                self._producer.poll(0)
            while self._producer.flush(_TURN_SECONDS):
                pass  # librdkafka ends every message: delivered, or past its deadline

    def _send(self, path: Path, report: Callable[[Result], None]) -> Result | None:
        """Pass one image to librdkafka; returns a result only after a failure."""
        from pixlake.client.errors import NotAFile  # noqa: PLC0415  # slow; not for --help
        from pixlake.client.files import open_regular  # noqa: PLC0415

        try:
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                data = file.read() if size <= self._limit else b""
        except NotAFile as error:
            return Result(path, "refused", code=error.code, detail=str(error))
        except OSError as error:
            reason = error.strerror or str(error)
            return Result(path, "failed", code="unreadable_file", detail=reason)
        if size > self._limit:
            detail = "the file is larger than message.max.bytes of --config"
            return Result(
                path, "refused", code=_TOO_LARGE, detail=detail, limit=self._limit, value=size
            )
        event = content_id(data, self._preset, self._metadata) if self._event_id else None
        facts: dict[str, str | int] = {} if event is None else {"event_id": event}

        def delivered(error: Any, message: Any) -> None:
            if error is None:
                where = {"partition": message.partition(), "offset": message.offset()}
                report(Result(path, "delivered", facts={**facts, **where}, size=size))
            else:
                report(_failure(path, error, size))

        message_headers = headers(path.name, self._preset, self._metadata, event)
        return self._hand_over(path, data, message_headers, delivered)

    def _hand_over(
        self,
        path: Path,
        data: bytes,
        message_headers: list[tuple[str, bytes]],
        delivered: Callable[[Any, Any], None],
    ) -> Result | None:
        from confluent_kafka import KafkaException  # noqa: PLC0415  # in an extra

        while True:
            try:
                self._producer.produce(
                    self._topic, data, headers=message_headers, on_delivery=delivered
                )
            except BufferError:
                self._producer.poll(_TURN_SECONDS)  # the queue is full: wait for deliveries
            except KafkaException as error:
                return _failure(path, error.args[0], len(data))
            else:
                return None


def _limit(settings: Mapping[str, Any]) -> int:
    try:
        return int(settings["message.max.bytes"])
    except ValueError:
        raise UsageFault("--config message.max.bytes is not a number") from None


def _failure(path: Path, error: Any, size: int) -> Result:
    """Result for a message that librdkafka or the broker refused."""
    if error.name() == "MSG_SIZE_TOO_LARGE":
        return Result(
            path,
            "refused",
            code=_TOO_LARGE,
            detail="the message is above the broker's limit",
            value=size,
        )
    return Result(path, "failed", code=error.name().lower().lstrip("_"), detail=error.str())


def _said(error: Exception) -> str:
    """Return the text of an error; a KafkaException has its text in a KafkaError."""
    carried = error.args[0] if error.args else error
    return str(carried.str()) if hasattr(carried, "str") else str(carried)
