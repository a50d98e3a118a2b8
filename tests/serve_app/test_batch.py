"""Batches: many images in one request, a line for each, and what is refused."""

import tarfile

import pytest

from processors.errors import Overloaded
from processors.job import ImageJob
from serve_app.accounts import WRITE, Limits
from serve_app.settings import ServeSettings
from tests.serve_app.batches import (
    BATCH,
    MIXED,
    TAR,
    by_name,
    entry,
    files,
    ids,
    is_released,
    lines,
    mixed,
    pieces,
    send,
    tar,
)
from tests.serve_app.site import PHOTO, MakeSite, Site, png

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    "form",
    [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT],
    ids=["ustar", "gnu", "pax"],
)
async def test_each_file_has_a_line_and_again_is_a_replay(site: Site, form: int) -> None:
    long = "folder/" * 20 + "é.png"
    body = tar(entry("photos", type=tarfile.DIRTYPE), *files(3), entry(long, PHOTO), form=form)
    first = by_name(await send(site, body))
    assert first.keys() == {*(f"photos/{n}.png" for n in range(3)), long}
    for line in first.values():
        assert line == {**line, "status": 201, "outcome": "new", "code": None}
    assert {line["id"] for line in first.values()} == await ids(site)
    image = (await site.client.get(f"/v1/images/{first[long]['id']}")).json()
    assert (image["filename"], image["bytes"], image["source"]) == ("é.png", len(PHOTO), "api")
    again = by_name(await send(site, body))
    for name, line in again.items():
        assert (line["status"], line["outcome"]) == (200, "replay")
        assert line["id"] == first[name]["id"]
    assert is_released(site)


async def test_an_image_of_a_batch_is_the_image_of_a_single_upload(site: Site) -> None:
    alone = (await site.upload(PHOTO)).json()["image_id"]
    (line,) = lines(await send(site, tar(entry("a.jpg", PHOTO))))
    assert (line["outcome"], line["id"]) == ("replay", alone)


async def test_preset_and_metadata_are_of_all_images_or_of_one(site: Site) -> None:
    own = {"PIXLAKE.preset": "thumbnail", "PIXLAKE.metadata": '{"camera": "8"}'}
    keyed = {"PIXLAKE.idempotency-key": "order-9"}
    body = tar(
        entry("plain.jpg", PHOTO),
        entry("own.jpg", PHOTO, pax_headers=own),
        entry("keyed.jpg", PHOTO, pax_headers=keyed),
        entry("wrong.jpg", PHOTO, pax_headers={"PIXLAKE.presett": "web"}),
        entry("unknown.jpg", PHOTO, pax_headers={"PIXLAKE.preset": "nonesuch"}),
    )
    headers = {"X-Pixlake-Meta-camera": "7", "X-Pixlake-Meta-run": "a"}
    found = by_name(await send(site, body, params={"preset": "archive"}, headers=headers))
    assert found["wrong.jpg"]["code"] == "invalid_request"
    assert found["unknown.jpg"]["code"] == "unknown_preset"
    images = {
        name: (await site.client.get(f"/v1/images/{line['id']}")).json()
        for name, line in found.items()
        if line["id"]
    }
    assert images["plain.jpg"]["preset"] == images["keyed.jpg"]["preset"] == "archive"
    assert images["own.jpg"]["preset"] == "thumbnail"
    assert images["plain.jpg"]["metadata"] == {"camera": "7", "run": "a"}
    assert images["own.jpg"]["metadata"] == {"camera": "8", "run": "a"}
    again = await site.upload(
        PHOTO,
        params={"preset": "archive"},
        headers={"Idempotency-Key": "order-9", **headers},
    )
    assert (again.status_code, again.json()["image_id"]) == (200, found["keyed.jpg"]["id"])


async def test_a_form_has_an_image_in_each_part(site: Site) -> None:
    answer = await site.client.post(
        BATCH,
        data={"preset": "archive", "metadata": '{"camera": "7"}'},
        files=[("file", (f"{n}.png", png(seed=n))) for n in range(3)],
    )
    found = by_name(answer)
    assert found.keys() == {"0.png", "1.png", "2.png"}
    image = (await site.client.get(f"/v1/images/{found['1.png']['id']}")).json()
    assert (image["preset"], image["metadata"]) == ("archive", {"camera": "7"})


async def test_parts_have_their_own_headers(site: Site) -> None:
    wrong = "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="
    body = mixed(
        ("Content-Type: image/jpeg\r\nX-Pixlake-Preset: archive\r\nX-Pixlake-Meta-a: 1", PHOTO),
        ('Content-Disposition: attachment; filename="b.png"\r\nIdempotency-Key: k', png(seed=1)),
        (f'Content-Disposition: attachment; filename="c.png"\r\n{wrong}', png(seed=2)),
        ('Content-Disposition: attachment; filename="../d.png"', png(seed=3)),
        ('Content-Disposition: attachment; filename="e.png"\r\nContent-Encoding: gzip', b"x"),
    )
    found = by_name(await send(site, body, headers=MIXED))
    assert (found["#1"]["outcome"], found["b.png"]["outcome"]) == ("new", "new")
    image = (await site.client.get(f"/v1/images/{found['#1']['id']}")).json()
    assert (image["preset"], image["metadata"]) == ("archive", {"a": "1"})
    assert found["c.png"]["code"] == "checksum_mismatch"
    assert found["../d.png"]["code"] == "invalid_name"
    assert found["e.png"]["code"] == "unsupported_content_encoding"
    assert len(await ids(site)) == 2


@pytest.mark.parametrize("size", [1, 511, 513])
async def test_pieces_of_any_size_are_the_same_archive(site: Site, size: int) -> None:
    body = tar(*files(2), entry("d/" * 80 + "c.png", png(seed=9)))
    answer = await site.client.post(BATCH, content=pieces(body, size), headers=TAR)
    assert [line["outcome"] for line in lines(answer)] == ["new"] * 3


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "image/png"}, 415, "unsupported_media_type"),
        ({"Content-Type": "application/gzip"}, 415, "compressed_archive"),
        ({"Content-Type": "multipart/form-data"}, 400, "malformed_multipart"),
        ({"Content-Encoding": "gzip"}, 415, "unsupported_content_encoding"),
        ({"Idempotency-Key": "k"}, 422, "invalid_idempotency_key"),
        ({"X-Pixlake-Filename": "a.png"}, 422, "invalid_request"),
        ({"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, 400, "invalid_checksum"),
        ({"Authorization": "Bearer bad"}, 401, "unauthorized"),
    ],
)
async def test_a_request_that_can_not_succeed_is_refused_before_its_body(
    site: Site, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await send(site, tar(*files(2)), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if code == "unsupported_media_type":
        assert answer.headers["Accept"].startswith("application/x-tar")
    assert await ids(site) == set()


async def test_an_unknown_preset_of_all_images_refuses_the_batch(site: Site) -> None:
    answer = await send(site, tar(*files(2)), params={"preset": "nonesuch"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_preset")
    answer = await site.client.post(
        BATCH, data={"preset": "nonesuch"}, files=[("file", ("a.png", png()))]
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_preset")
    assert await ids(site) == set()


def limited(site: Site, limits: Limits) -> dict[str, str]:
    issued = site.accounts.create_key("acme", [WRITE], "batch")
    site.accounts.limits.set_key(issued.info.prefix, limits, actor="test")
    return {"Authorization": f"Bearer {issued.text}"}


async def test_the_limit_of_a_day_refuses_the_images_behind_it(site: Site) -> None:
    headers = limited(site, Limits(images_per_day=4))
    found = lines(await send(site, tar(*files(6)), headers=headers))
    assert sorted(line["code"] or "" for line in found) == [*[""] * 4, *["quota_exceeded"] * 2]
    assert len(await ids(site)) == 4
    await site.app.state.context.usage.flush()
    usage = (await site.client.get("/v1/usage")).json()["days"]
    assert usage[-1]["images"] == 4
    assert usage[-1]["refusals"] == {"quota_exceeded": 2}


async def test_images_wait_for_the_rates_of_their_key(site: Site) -> None:
    headers = limited(site, Limits(images_per_second=4))
    found = lines(await send(site, tar(*files(6)), headers=headers))
    assert [line["outcome"] for line in found] == ["new"] * 6


async def test_images_wait_for_places(make_site: MakeSite, settings: ServeSettings) -> None:
    small = {"max_uploads": 1, "max_bytes": 1_000, "max_upload_bytes": 1_000}
    site = await make_site(settings.model_copy(update=small))
    found = lines(await send(site, tar(*files(5))))
    assert [line["outcome"] for line in found] == ["new"] * 5
    assert is_released(site)


async def test_images_wait_for_the_sandbox(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = type(site.app.state.context.worker)
    handle = worker.handle
    asked: list[str] = []

    async def full_at_first(self: object, job: ImageJob) -> object:
        asked.append(job.image_id)
        if asked.count(job.image_id) == 1:
            raise Overloaded("full")
        return await handle(self, job)

    monkeypatch.setattr(worker, "handle", full_at_first)
    found = lines(await send(site, tar(*files(3))))
    assert [line["outcome"] for line in found] == ["new"] * 3
    assert len(asked) == 6


async def test_a_fault_of_the_server_is_the_line_of_its_image(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = type(site.app.state.context.worker)
    handle = worker.handle

    async def fails_once(self: object, job: ImageJob) -> object:
        if job.filename == "1.png":
            raise RuntimeError("secret")
        return await handle(self, job)

    monkeypatch.setattr(worker, "handle", fails_once)
    answer = await send(site, tar(*files(3)))
    assert "secret" not in answer.text
    found = by_name(answer)
    assert (found["photos/1.png"]["status"], found["photos/1.png"]["code"]) == (500, "internal")
    assert [line["outcome"] for line in found.values()].count("new") == 2
    assert is_released(site)
