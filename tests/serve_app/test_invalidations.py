"""Erased images are invalidated in CloudFront; moto and botocore's stubber stand for its API."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber
from moto import mock_aws

from lake.commit.invalidations import BATCH, CACHED_SECONDS, MOST_WAITING, Invalidations, cloudfront
from lake.errors import StoreUnavailable
from lake.settings import LakeSettings
from serve_app.metrics import samples
from serve_app.settings import ServeSettings
from tests.serve_app.site import MakeSite
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

IMAGE = "ab" + "0" * 30
PATH = f"/images/acme/ab/{IMAGE}/*"


class Cdn:
    """CloudFront that refuses some requests first; its clock goes on in pauses only."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.asked: list[tuple[tuple[str, ...], str]] = []
        self.now = 0.0
        self.invalidations = Invalidations(self, lambda: self.now, self.sleep)

    def __call__(self, paths: list[str], reference: str) -> None:
        self.asked.append((tuple(paths), reference))
        if len(self.asked) <= self.refusals:
            raise ConnectionError("no answer")

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@asynccontextmanager
async def running(invalidations: Invalidations) -> AsyncIterator[None]:
    task = asyncio.create_task(invalidations.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        yield


def distribution() -> str:
    behaviour = {
        "TargetOriginId": "store",
        "ViewerProtocolPolicy": "https-only",
        "ForwardedValues": {"QueryString": False, "Cookies": {"Forward": "none"}},
        "MinTTL": 0,
    }
    origin = {
        "Id": "store",
        "DomainName": "bucket.s3.amazonaws.com",
        "S3OriginConfig": {"OriginAccessIdentity": ""},
    }
    config: dict[str, Any] = {
        "CallerReference": "test",
        "Origins": {"Quantity": 1, "Items": [origin]},
        "DefaultCacheBehavior": behaviour,
        "Comment": "",
        "Enabled": True,
    }
    made = boto3.client("cloudfront").create_distribution(DistributionConfig=config)
    return str(made["Distribution"]["Id"])


@pytest.mark.usefixtures("credentials")
async def test_an_erased_image_is_invalidated(make_site: MakeSite, tmp_path: Path) -> None:
    name = distribution()
    invalidations = Invalidations.of(name)
    assert invalidations is not None
    site = await make_site(ServeSettings(home=tmp_path), None, None, invalidations)
    image = (await site.upload()).json()["image_id"]
    async with running(invalidations):
        assert (await site.client.delete(f"/v1/images/{image}")).status_code == 204
        await until(lambda: invalidations.paths["sent"] == 1)
    client = boto3.client("cloudfront")
    [found] = client.list_invalidations(DistributionId=name)["InvalidationList"]["Items"]
    got = client.get_invalidation(DistributionId=name, Id=found["Id"])["Invalidation"]
    [path] = got["InvalidationBatch"]["Paths"]["Items"]
    assert path == f"/images/acme/{image[:2]}/{image}/*"
    keys = [key for key in await site.stored() if key.startswith(path.removeprefix("/")[:-1])]
    assert [key.rsplit("/", 1)[-1] for key in keys] == ["record.json"], "the path covers them all"


async def test_an_unknown_image_is_not_invalidated(make_site: MakeSite, tmp_path: Path) -> None:
    fake = Cdn()
    site = await make_site(ServeSettings(home=tmp_path), None, None, fake.invalidations)
    assert (await site.client.delete(f"/v1/images/{IMAGE}")).status_code == 404
    assert fake.invalidations.waiting == 0


async def test_an_erasure_does_not_wait_for_cloudfront(make_site: MakeSite, tmp_path: Path) -> None:
    """Queue paths without a sender, as if CloudFront had not answered yet."""
    fake = Cdn()
    site = await make_site(ServeSettings(home=tmp_path), None, None, fake.invalidations)
    image = (await site.upload()).json()["image_id"]
    assert (await site.client.delete(f"/v1/images/{image}")).status_code == 204
    assert (fake.asked, fake.invalidations.waiting) == ([], 1)


@pytest.mark.parametrize("error", [StoreUnavailable("no answer"), asyncio.CancelledError()])
async def test_an_interrupted_erasure_and_its_repetition_are_invalidated(
    make_site: MakeSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    fake = Cdn()
    site = await make_site(ServeSettings(home=tmp_path), None, None, fake.invalidations)
    path = f"/v1/images/{(await site.upload()).json()['image_id']}"

    async def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as failing:
        failing.setattr(site.lake.eraser, "finish", fail)
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                assert (await site.client.delete(path)).status_code == 503
            assert fake.invalidations.waiting == 1
    for _ in range(2):
        assert (await site.client.delete(path)).status_code == 204
        assert fake.invalidations.waiting == 2, "CloudFront may have fetched it again meanwhile"


async def test_a_refused_request_is_tried_again_with_its_reference() -> None:
    """With the same reference CloudFront invalidates once, also if an answer was lost."""
    fake = Cdn(refusals=3)
    fake.invalidations.add("acme", IMAGE)
    async with running(fake.invalidations):
        await until(lambda: fake.invalidations.waiting == 0)
    assert [paths for paths, _ in fake.asked] == [(PATH,)] * 4
    assert len({reference for _, reference in fake.asked}) == 1
    assert (fake.invalidations.failures, fake.invalidations.paths) == (3, {"sent": 1})


async def test_a_path_is_given_up_when_cloudfront_has_dropped_it_by_itself() -> None:
    fake = Cdn(refusals=10_000)
    fake.invalidations.add("acme", IMAGE)
    async with running(fake.invalidations):
        await until(lambda: fake.invalidations.paths["given_up"] == 1)
    assert CACHED_SECONDS <= fake.now < CACHED_SECONDS + 60
    assert fake.invalidations.waiting == 0


async def test_many_paths_go_together_and_new_ones_follow() -> None:
    fake = Cdn()
    for number in range(BATCH + 1):
        fake.invalidations.add("acme", f"{number:032x}")
    async with running(fake.invalidations):
        await until(lambda: fake.invalidations.paths["sent"] == BATCH + 1)
        fake.invalidations.add("acme", IMAGE)
        await until(lambda: fake.invalidations.paths["sent"] == BATCH + 2)
    assert [len(paths) for paths, _ in fake.asked] == [BATCH, 1, 1]
    assert len({reference for _, reference in fake.asked}) == 3


async def test_repeated_erasures_are_paid_once_an_hour() -> None:
    fake = Cdn()
    for _ in range(3):
        fake.invalidations.add("acme", IMAGE)
    assert fake.invalidations.waiting == 1
    fake.now = CACHED_SECONDS
    fake.invalidations.add("acme", IMAGE)
    assert fake.invalidations.waiting == 2


async def test_waiting_paths_are_bounded() -> None:
    fake = Cdn()
    for number in range(MOST_WAITING + 5):
        fake.invalidations.add("acme", f"{number:032x}")
    assert fake.invalidations.waiting == MOST_WAITING
    assert fake.invalidations.paths["given_up"] == 5


async def test_errors_of_the_api_are_errors_of_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = boto3.client(
        "cloudfront", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    monkeypatch.setattr(boto3, "client", lambda *_, **__: client)
    batch = {"Paths": {"Quantity": 1, "Items": [PATH]}, "CallerReference": "r"}
    with Stubber(client) as stub:
        stub.add_client_error(
            "create_invalidation",
            "TooManyInvalidationsInProgress",
            expected_params={"DistributionId": "EDFDVBD6EXAMPLE", "InvalidationBatch": batch},
        )
        stub.add_response(
            "create_invalidation", {}, {"DistributionId": ANY, "InvalidationBatch": ANY}
        )
        send = cloudfront("EDFDVBD6EXAMPLE")
        with pytest.raises(ClientError, match="TooManyInvalidationsInProgress"):
            send([PATH], "r")
        send([PATH], "r")
        stub.assert_no_pending_responses()


async def test_a_replica_counts_what_it_sent(make_site: MakeSite, tmp_path: Path) -> None:
    fake = Cdn(refusals=1)
    site = await make_site(ServeSettings(home=tmp_path), None, None, fake.invalidations)
    fake.invalidations.add("acme", IMAGE)
    async with running(fake.invalidations):
        await until(lambda: fake.invalidations.paths["sent"] == 1)
    fake.invalidations.add("acme", "c" * 32)
    admission = site.app.state.context.admission
    told = {
        (one.metric.name, *one.labels): one.value
        for one in samples(admission, None, fake.invalidations)
    }
    assert told["pixlake_invalidations", "sent"] == 1
    assert told["pixlake_invalidation_failures",] == 1
    assert told["pixlake_invalidations_waiting",] == 1


@pytest.mark.parametrize("wrong", ["https://d1.cloudfront.net", "d1.cloudfront.net", "E" * 40])
async def test_a_wrong_distribution_is_refused(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cloudfront_distribution"):
        LakeSettings(home=tmp_path, cloudfront_distribution=wrong)


async def test_the_service_gives_up_when_cloudfront_drops_renditions_by_itself() -> None:
    stack = Path(__file__).parents[2] / "deploy" / "ecs" / "infra" / "stacks" / "cdn.py"
    assert f"\nCACHED_SECONDS = {CACHED_SECONDS:.0f}\n" in stack.read_text()
