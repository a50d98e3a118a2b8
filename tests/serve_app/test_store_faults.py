"""Faults of the S3 server: an upload succeeds or gets 503, and a retry then succeeds."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from lake.errors import StoreUnavailable
from lake.settings import LakeSettings
from lake.timing import TIMES
from serve_app.settings import ServeSettings
from tests.serve_app.site import PHOTO, MakeSite, Site, png
from tests.servers.s3 import S3Server
from tests.servers.s3_faults import Fault, FaultyS3
from tests.suites.lake_truth import check_one_row_each

pytestmark = pytest.mark.asyncio(loop_scope="session")

TENANT = "acme"
SLOW_DOWN = Fault("error", status=503, code="SlowDown")
FAULTS = {
    "500": Fault("error"),
    "503": SLOW_DOWN,
    "500, applied": Fault("error", applied=True),
    "slow": Fault("slow", seconds=0.3),
    "slow, applied": Fault("slow", applied=True, seconds=0.3),
    "hang": Fault("hang"),
    "hang, applied": Fault("hang", applied=True),
    "reset": Fault("reset"),
    "reset, applied": Fault("reset", applied=True),
}
STEPS = {
    "object": "PUT {}/images/.*/original-",
    "record": "PUT {}/images/.*/record.json",
    "journal": "PUT {}/journal/",
}


@pytest.fixture(scope="module")
def faulty(s3_server: S3Server) -> Iterator[FaultyS3]:
    with FaultyS3(s3_server.endpoint) as proxy:
        yield proxy


LakeBehind = Callable[[], LakeSettings]


@pytest.fixture
def behind(faulty: FaultyS3, s3_server: S3Server) -> LakeBehind:
    """Return a function that makes settings of a new lake behind the proxy."""
    return lambda: LakeSettings(
        store_url=f"s3://{s3_server.bucket}/{uuid.uuid4().hex}",
        s3_endpoint=faulty.endpoint,
        s3_access_key_id=s3_server.access_key,
        s3_secret_access_key=SecretStr(s3_server.secret_key),
    )


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the time-outs of the store from half a minute to a second and a half."""
    second = timedelta(seconds=1)
    impatient = replace(TIMES, request=1.5 * second, request_retries=second)
    monkeypatch.setattr("lake.store.backends.TIMES", impatient)


def pattern(step: str, on: LakeSettings) -> str:
    return STEPS[step].format(on.location.removeprefix("s3:/"))


def check_told_to_come_back(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["code"] in {
        "store_unavailable",
        "store_denied",
        "answer_timeout",
        "overloaded",
    }


async def opened(make_site: MakeSite, settings: ServeSettings, on: LakeSettings) -> Site:
    """Make a site; a busy machine may need longer than the time-outs of `impatient`."""
    async with asyncio.timeout(60):
        while True:
            with suppress(StoreUnavailable):
                return await make_site(settings, on)


async def acknowledged(site: Site, image: bytes) -> str:
    """Upload an image until it is stored, as clients do; returns its id."""
    while not (answer := await site.upload(image)).is_success:
        check_told_to_come_back(answer)
    return str(answer.json()["image_id"])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_any_kind_at_any_step(
    make_site: MakeSite,
    settings: ServeSettings,
    behind: LakeBehind,
    faulty: FaultyS3,
    name: str,
) -> None:
    """During the fault: a success or a 503. Afterwards: a success, one row, the right bytes."""
    lakes = {step: behind() for step in STEPS}
    sites = {step: await opened(make_site, settings, on) for step, on in lakes.items()}
    faults = [replace(FAULTS[name], matching=pattern(step, on)) for step, on in lakes.items()]
    with faulty.failing(*faults):
        async with asyncio.timeout(settings.answer_seconds):
            answers = await asyncio.gather(*(sites[step].upload() for step in STEPS))
    for answer in answers:
        if not answer.is_success:
            check_told_to_come_back(answer)
    for step, on in lakes.items():
        async with asyncio.timeout(60):
            image_id = await acknowledged(sites[step], PHOTO)
        await check_one_row_each(sites[step].lake, on, {image_id: PHOTO}, TENANT)


async def test_an_upload_waits_no_longer_than_its_limit_and_goes_on(
    make_site: MakeSite, tmp_path: str, behind: LakeBehind, faulty: FaultyS3
) -> None:
    """The store hangs; its client times out after half a minute, the API after half a second."""
    on = behind()
    site = await make_site(ServeSettings(home=tmp_path, answer_seconds=0.5), on)
    with faulty.failing(Fault("slow", seconds=25, matching=pattern("journal", on))):
        told = await site.upload()
        check_told_to_come_back(told)
        assert (told.json()["code"], told.json()["limit"]) == ("answer_timeout", 0.5)
        assert site.app.state.context.admission.uploads == 1
    await asyncio.gather(*site.app.state.context.under_way)
    assert site.app.state.context.admission.uploads == 0
    again = await site.upload()
    assert again.status_code == httpx.codes.OK
    assert again.headers["Idempotent-Replayed"] == "true"
    await check_one_row_each(site.lake, on, {again.json()["image_id"]: PHOTO}, TENANT)


async def test_a_storm_of_faults(
    make_site: MakeSite, settings: ServeSettings, behind: LakeBehind, faulty: FaultyS3
) -> None:
    """Several kinds of faults at random; clients that retry as told get their images stored."""
    on = behind()
    site = await make_site(settings, on)
    images = [png(32, 24, seed) for seed in range(24)]

    storm = [
        Fault("error", share=0.15, applied=True),
        Fault("reset", share=0.15, applied=True),
        Fault("error", share=0.15, status=503, code="SlowDown"),
        Fault("reset", share=0.15),
        Fault("slow", share=0.15, seconds=0.2),
    ]
    with faulty.failing(*storm):
        async with asyncio.timeout(60):
            ids = await asyncio.gather(*(acknowledged(site, image) for image in images))
    await check_one_row_each(site.lake, on, dict(zip(ids, images, strict=True)), TENANT)


async def test_reading_and_erasing_tell_to_come_back(
    make_site: MakeSite, settings: ServeSettings, behind: LakeBehind, faulty: FaultyS3
) -> None:
    on = behind()
    site = await make_site(settings, on)
    kept, erased = [(await site.upload(png(8, 8, n))).json()["links"]["self"] for n in range(2)]
    with faulty.failing(SLOW_DOWN):
        for answer in await asyncio.gather(
            site.client.get(kept),
            site.client.get(f"{kept}/original"),
            site.client.get("/v1/images"),
            site.client.delete(erased),
        ):
            check_told_to_come_back(answer)
    assert (await site.client.get(f"{kept}/original")).content == png(8, 8, 0)
    assert (await site.client.delete(erased)).status_code == httpx.codes.NO_CONTENT
    assert (await site.client.get(erased)).status_code == httpx.codes.GONE
    await check_one_row_each(site.lake, on, {kept.rsplit("/", 1)[-1]: png(8, 8, 0)}, TENANT)


@pytest.mark.parametrize("status", [403, 404, 409, 412])
async def test_an_odd_answer_is_the_stores_fault_never_the_images(
    make_site: MakeSite, settings: ServeSettings, behind: LakeBehind, faulty: FaultyS3, status: int
) -> None:
    """Causes: a revoked key, a deleted bucket, a faulty proxy. None is final for an image."""
    on = behind()
    site = await make_site(settings, on)
    for step in STEPS:
        fault = Fault("error", status=status, code="Odd", matching=pattern(step, on))
        with faulty.failing(fault):
            check_told_to_come_back(await site.upload())
    assert (await site.upload()).is_success


async def test_a_role_that_may_not_write_presets_says_so_and_goes_on(
    make_site: MakeSite, settings: ServeSettings, behind: LakeBehind, faulty: FaultyS3
) -> None:
    on = behind()
    site = await make_site(settings, on)
    editor = site.key(TENANT, "presets:write", "images:read")
    presets = f"PUT {on.location.removeprefix('s3:/')}/presets/"
    denied = Fault("error", status=403, code="AccessDenied", matching=presets)
    with faulty.failing(denied):
        answer = await site.client.put("/v1/presets/shop", json={"renditions": []}, headers=editor)
        assert (answer.status_code, answer.json()["code"]) == (403, "presets_read_only")
        assert "pixlake preset put" in answer.json()["detail"]
        assert (await site.client.get("/v1/presets", headers=editor)).is_success
        assert (await site.upload()).is_success
    answer = await site.client.put("/v1/presets/shop", json={"renditions": []}, headers=editor)
    assert answer.is_success


async def test_a_bucket_that_is_gone_is_not_an_image_that_is(
    make_site: MakeSite, settings: ServeSettings, behind: LakeBehind, faulty: FaultyS3
) -> None:
    on = behind()
    site = await make_site(settings, on)
    link = (await site.upload()).json()["links"]["self"]
    with faulty.failing(Fault("error", status=404, code="NoSuchBucket", matching="GET")):
        check_told_to_come_back(await site.client.get(link))
    assert (await site.client.get(link)).is_success


async def test_a_folder_that_is_away_is_not_an_image_that_is_gone(
    make_site: MakeSite, settings: ServeSettings, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    site = await make_site(settings, LakeSettings(store_url=root.as_uri()))
    link = (await site.upload()).json()["links"]["self"]
    root.rename(tmp_path / "elsewhere")
    for answer in (
        await site.client.get(link),
        await site.client.get(f"{link}/320"),
        await site.client.head(f"{link}/original"),
        await site.client.get("/v1/images"),
        await site.client.delete(link),
        await site.upload(params={"preset": "of-the-store"}),
    ):
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert int(answer.headers["Retry-After"]) > 0
    (tmp_path / "elsewhere").rename(root)
    assert (await site.client.get(f"{link}/original")).content == PHOTO
    assert (await site.client.delete(link)).status_code == httpx.codes.NO_CONTENT
