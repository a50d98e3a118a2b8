"""Settings of the ingest, and the Kafka client's configuration that follows from them."""

import pickle

import pytest
from confluent_kafka import Consumer, Producer
from pydantic import ValidationError

from ingest.librdkafka import consumer_config, producer_config
from ingest.settings import IngestSettings


def test_names_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:1")
    monkeypatch.setenv("PIXLAKE_KAFKA_TOPIC", "photos")
    settings = IngestSettings()
    assert settings.kafka_bootstrap_servers == "broker:1"
    assert (settings.kafka_topic, settings.dead_letters) == ("photos", "photos.dead-letters")
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301  # our own bytes


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    settings = IngestSettings()
    assert (settings.kafka_topic, settings.dead_letters) == ("images", "images.dead-letters")
    assert settings.kafka_bootstrap_servers == "127.0.0.1:9092"


@pytest.mark.parametrize(
    "values",
    [
        {"kafka_security_protocol": "SASL_SSL"},
        {"kafka_topic": "images", "kafka_dead_letter_topic": "images"},
        {"kafka_max_inflight_bytes": 0},
        {"kafka_tenant": "../x"},
        {"kafka_tenant": "Acme"},
        {"kafka_topic": "a/b"},
        {"kafka_topic": ".."},
        {"kafka_topic": "a" * 240},
        {"kafka_dead_letter_topic": "a,b"},
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IngestSettings.model_validate(values)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize("security", ["PLAINTEXT", "SASL_SSL"])
def test_the_client_takes_every_combination(protocol: str, security: str) -> None:
    values: dict[str, object] = {
        "kafka_bootstrap_servers": "127.0.0.1:1",
        "kafka_group_protocol": protocol,
        "kafka_security_protocol": security,
    }
    if security == "SASL_SSL":
        values |= {
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_sasl_username": "user",
            "kafka_sasl_password": "s3cret",
        }
    settings = IngestSettings.model_validate(values)
    assert "s3cret" not in repr(settings)
    Consumer({**consumer_config(settings), "log_level": 0}).close()
    Producer({**producer_config(settings), "log_level": 0})
