"""Tests of the HTTP API on a disk that is full or read-only; `test_full_disk.py` runs them."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from lake.errors import StoreReadOnly
from lake.settings import LakeSettings
from lake.tables.schema import ImageRecord
from serve_app.accounts import Accounts
from serve_app.accounts.errors import AccountsUnavailable
from serve_app.settings import ServeSettings
from tests.serve_app.site import MakeSite, png
from tests.servers.small_disk import Ballast, read_only, small_disk
from tests.suites.lake_truth import check_one_row_each

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Most pages that a small upload needs: one each for original, two renditions, record and row, and
# some more.
PAGES = 12


@pytest.fixture
def disk() -> Iterator[Path]:
    folder = small_disk()
    yield folder
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@pytest.fixture
def ballast(disk: Path) -> Ballast:
    return Ballast(disk)


@pytest.fixture
def on(disk: Path) -> LakeSettings:
    return LakeSettings(store_url=(disk / "store").as_uri())


def check_refused(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (507, "store_full"), answer.text
    assert int(answer.headers["Retry-After"]) > 0


def check_nothing_partial(on: LakeSettings) -> None:
    """Check that no temporary file, incomplete image or object without a record is left.

    Reads the files directly and not by the store's listing.
    """
    root = Path(on.location.removeprefix("file://"))
    for path in (path for path in root.rglob("*") if path.is_file()):
        assert "#" not in path.name
        if path.name == "record.json":
            record = ImageRecord.model_validate_json(path.read_bytes())
            assert (root / record.original_key).stat().st_size == record.bytes
            for rendition in record.renditions:
                assert (root / rendition.key).stat().st_size == rendition.bytes
        elif path.is_relative_to(root / "images"):
            assert path.with_name("record.json").exists()
            with Image.open(path) as image:
                image.load()


async def test_at_every_step_of_an_upload(
    make_site: MakeSite, settings: ServeSettings, on: LakeSettings, ballast: Ballast
) -> None:
    """Leave one page more each time, so that each PUT of an upload fails in turn."""
    site = await make_site(settings, on)
    sent: dict[str, bytes] = {}
    refusals = 0
    for pages in range(PAGES):
        image = png(8, 8, pages)
        ballast.leave(pages)
        answer = await site.upload(image)
        if answer.is_error:
            refusals += 1
            check_refused(answer)
            check_nothing_partial(on)
            ballast.drop()
            answer = await site.upload(image)
        assert answer.is_success, answer.text
        sent[answer.json()["image_id"]] = image
    assert 3 < refusals < PAGES
    ballast.drop()
    await check_one_row_each(site.lake, on, sent, "acme")


async def test_many_at_once(
    make_site: MakeSite, settings: ServeSettings, on: LakeSettings, ballast: Ballast
) -> None:
    site = await make_site(settings, on)
    # Fewer than half of the sandbox's queue, because keys of other tests still count as active.
    images = [png(120, 120, seed) for seed in range(30)]
    ballast.leave(200)
    first = [await site.upload(image) for image in images[:3]]
    first += await asyncio.gather(*map(site.upload, images[3:]))
    assert all(answer.is_success for answer in first[:3])
    refused = [answer for answer in first if answer.is_error]
    assert refused
    for answer in refused:
        check_refused(answer)
    check_nothing_partial(on)
    ballast.drop()
    again = await asyncio.gather(*map(site.upload, images))
    sent = {a.json()["image_id"]: image for a, image in zip(again, images, strict=True)}
    assert {a.json()["image_id"] for a in first if a.is_success} <= set(sent)
    await check_one_row_each(site.lake, on, sent, "acme")


async def test_sealing_and_erasing_wait_for_room(
    make_site: MakeSite, settings: ServeSettings, on: LakeSettings, ballast: Ballast
) -> None:
    site = await make_site(settings, on)
    kept, erased = [(await site.upload(png(8, 8, n))).json() for n in range(2)]
    ballast.leave(0)
    check_refused(await site.client.delete(erased["links"]["self"]))
    report = await site.lake.sealer.run_pass(now=True)
    assert (report.rows, report.failed) == (0, 1)
    check_nothing_partial(on)
    shown = await site.client.get(kept["links"]["original"])
    assert shown.content == png(8, 8, 0)
    ballast.drop()
    assert (await site.client.delete(erased["links"]["self"])).is_success
    await check_one_row_each(site.lake, on, {kept["image_id"]: png(8, 8, 0)}, "acme")


async def test_accounts_survive(disk: Path, ballast: Ballast) -> None:
    """SQLite on the full disk: every issued key stays valid, and no incomplete key is stored."""
    accounts = Accounts.open(f"sqlite:///{disk / 'accounts.sqlite'}")
    keys = [accounts.create_key("acme", ["images:read"], "before").text]
    ballast.leave(0)
    with pytest.raises(AccountsUnavailable):
        keys.extend(
            accounts.create_key("acme", ["images:read"], f"key {n}").text for n in range(1000)
        )
    for key in keys:
        assert accounts.verify(key).tenant == "acme"
    ballast.drop()
    keys.append(accounts.create_key("acme", ["images:read"], "after").text)
    accounts.close()
    opened = Accounts.open(f"sqlite:///{disk / 'accounts.sqlite'}")
    assert all(opened.verify(key).tenant == "acme" for key in keys)
    assert len(opened.keys()) == len(keys)
    opened.close()


async def test_a_read_only_disk(
    make_site: MakeSite, settings: ServeSettings, on: LakeSettings, disk: Path
) -> None:
    """A disk stays read-only until somebody acts, so clients are told to come again in a minute."""
    site = await make_site(settings, on)
    image = png(8, 8, 1)
    with read_only(disk):
        answer = await site.upload(image)
        assert (answer.status_code, answer.json()["code"]) == (503, "store_read_only")
        assert answer.headers["Retry-After"] == "60"
        with pytest.raises(StoreReadOnly):
            await site.lake.healthy()
    answer = await site.upload(image)
    assert answer.is_success
    await site.lake.healthy()
    await check_one_row_each(site.lake, on, {answer.json()["image_id"]: image}, "acme")
