"""Tokens for Amazon MSK: the parts that its brokers check."""

import base64
import time
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
from confluent_kafka import Producer
from pydantic import ValidationError

from ingest import msk_iam
from ingest.librdkafka import client_config
from ingest.settings import IngestSettings


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")


def parts_of(token: str) -> tuple[str, dict[str, list[str]]]:
    """Scheme, host and path of the URL in a token, and the URL's query."""
    url = urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    return f"{url.scheme}://{url.netloc}{url.path}", parse_qs(url.query)


def test_it_is_the_token_of_awss_own_signer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: now)
    token, ends = msk_iam.token("eu-west-1")
    theirs, their_end = MSKAuthTokenProvider.generate_auth_token("eu-west-1")
    ours_at, ours = parts_of(token)
    theirs_at, said = parts_of(theirs)
    assert len(ours.pop("User-Agent")) == len(said.pop("User-Agent")) == 1  # not signed
    assert (ours_at, ours) == (theirs_at, said)
    assert abs(ends - their_end / 1000) < 60


def test_it_is_a_signed_url_of_the_call_for_a_quarter_of_an_hour() -> None:
    token, ends = msk_iam.token("eu-west-1")
    url = urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert url.hostname == "kafka.eu-west-1.amazonaws.com"
    assert query["Action"] == "kafka-cluster:Connect"
    assert query["X-Amz-Expires"] == "900"
    assert query["X-Amz-SignedHeaders"] == "host"
    assert query["X-Amz-Security-Token"] == "session"
    assert query["X-Amz-Credential"].startswith("AKIDEXAMPLE/")
    assert query["X-Amz-Credential"].endswith("/eu-west-1/kafka-cluster/aws4_request")
    assert len(query["X-Amz-Signature"]) == 64
    assert 890 < ends - time.time() <= 900


def test_the_client_asks_for_it_and_takes_it() -> None:
    settings = IngestSettings(
        kafka_bootstrap_servers="127.0.0.1:1",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="AWS_MSK_IAM",
        kafka_iam_region="eu-west-1",
    )
    config = client_config(settings)
    assert config["sasl.mechanism"] == "OAUTHBEARER"
    asked = []

    def ask(given: str) -> tuple[str, float]:
        asked.append(given)
        return msk_iam.token("eu-west-1")

    Producer({**config, "oauth_cb": ask, "log_level": 0}).poll(0)
    assert asked


def test_it_needs_tls_and_a_region() -> None:
    with pytest.raises(ValidationError, match="PIXLAKE_KAFKA_IAM_REGION"):
        IngestSettings(kafka_sasl_mechanism="AWS_MSK_IAM", kafka_security_protocol="SASL_SSL")
