"""Logins and rights that a cluster refuses: the consumer tells, and continues once it has them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from ingest.cluster import check_cluster
from ingest.errors import KafkaUnavailable, StreamNotReady
from ingest.settings import IngestSettings
from tests.ingest import wire
from tests.ingest.conftest import Stage
from tests.ingest.doubles import Workers, refused, running
from tests.servers.secured_kafka import SecuredKafka, secured_kafka
from tests.waiting import until


@pytest.fixture(scope="module")
def secured() -> Iterator[SecuredKafka]:
    with secured_kafka() as server:
        yield server


@dataclass(frozen=True, slots=True)
class Site:
    """A topic, of which the consumer's user may read."""

    server: SecuredKafka
    stage: Stage

    def settings(self, **changes: object) -> IngestSettings:
        return self.stage.settings(**self.server.login(), **changes)


@pytest.fixture
def site(secured: SecuredKafka) -> Site:
    stage = Stage(secured.admin, f"images-{uuid4()}")
    wire.create_topic(secured.admin, stage.topic)
    wire.create_topic(secured.admin, f"{stage.topic}.dead-letters")
    secured.grant("TOPIC", stage.topic, "READ", "DESCRIBE")
    secured.grant("GROUP", f"group-{stage.topic}", "READ")
    secured.grant("TOPIC", f"{stage.topic}.dead-letters", "DESCRIBE")
    return Site(secured, stage)


@pytest.mark.parametrize("password", ["right", "wrong"])
def test_a_refused_login_is_told_at_once(secured: SecuredKafka, password: str) -> None:
    settings = IngestSettings.model_validate(secured.login(password))
    if password == "right":
        check_cluster(settings, 10)
        return
    with pytest.raises(KafkaUnavailable, match="PIXLAKE_KAFKA_SASL_PASSWORD") as error:
        check_cluster(settings, 60)
    assert "wrong" not in str(error.value)


async def test_a_running_consumer_tells_a_refused_login(site: Site) -> None:
    settings = site.stage.settings(**site.server.login("wrong"))
    async with running(settings, Workers().submit) as consumer:
        await until(lambda: "uthentication failed" in str(consumer.status().fault))
        with pytest.raises(StreamNotReady, match=r"^kafka_denied: .*uthentication") as error:
            await consumer.ready()
    assert site.server.bootstrap not in str(error.value)


async def test_dead_letters_go_on_once_they_are_allowed(site: Site) -> None:
    """The first refused write makes the producer's client unusable for ever."""
    await site.stage.send_values([b"bad"])
    workers = Workers(lambda _: refused())
    async with running(site.settings(kafka_stall_seconds=0.5), workers.submit) as consumer:
        await until(lambda: "kafka_denied" in str(consumer.status().fault), "not ready")
        with pytest.raises(StreamNotReady, match=r"dead letters can't be written: .*uthorization"):
            await consumer.ready()
        assert await asyncio.to_thread(site.stage.committed) < 0
        name = f"{site.stage.topic}.dead-letters"
        await asyncio.to_thread(site.server.grant, "TOPIC", name, "WRITE", "DESCRIBE")
        await site.stage.until_committed(1)
        await until(lambda: consumer.status().ready)
    assert {letter.value for letter in await site.stage.dead_letters(1)} == {b"bad"}
