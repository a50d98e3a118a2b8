import hashlib
import json
from datetime import datetime, timedelta

import pytest

from lake.store.store_settings import StoreSettings
from pixlake.client.records import Image as ClientImage
from tests.processors.exif_samples import photo as photographed
from tests.processors.exif_samples import taken
from tests.processors.hostile import avif_of_ticks
from tests.serve_app.site import PHOTO, Site, png

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_raw_photo_is_stored_with_its_renditions(site: Site) -> None:
    answer = await site.upload()
    assert answer.status_code == 201
    image = answer.json()
    assert answer.headers["Location"] == f"/v1/images/{image['image_id']}"
    assert image["sha256"] == hashlib.sha256(PHOTO).hexdigest()
    assert (image["bytes"], image["format"]) == (len(PHOTO), "jpeg")
    assert (image["tenant"], image["source"], image["preset"]) == ("acme", "api", "web")
    assert image["renditions"]
    for rendition in image["renditions"]:
        got = await site.client.get(rendition["url"])
        assert hashlib.sha256(got.content).hexdigest() == rendition["sha256"]
    assert "attempt" not in image
    assert "original_key" not in image


async def test_the_answer_tells_what_was_found_and_not_where_it_was_taken(site: Site) -> None:
    answer = await site.upload(photographed("jpeg", taken()))
    image = ClientImage.model_validate_json(answer.content)
    assert (image.camera_make, image.camera_model, image.iso) == ("Fujifilm", "X-T5", 200)
    assert image.taken_at is not None
    assert (image.taken_at.isoformat(), image.taken_offset_minutes) == (
        "2026-11-20T14:03:11.250000",
        -210,
    )
    assert (image.gps_latitude, image.gps_longitude, image.gps_altitude) == (None, None, None)
    assert (image.bit_depth, image.color_space, image.damaged) == (8, "rgb", False)
    assert image.dominant_colors
    assert image.thumbhash
    assert image.codes is None
    said = answer.json()
    steps = sum(said[f"{step}_ms"] for step in ("decode", "measure", "render", "encode"))
    assert 0 < steps <= said["process_ms"]


async def test_a_sequence_that_says_to_run_for_ever_is_stored_without_a_duration(
    site: Site,
) -> None:
    # Encoded only once, because the encoder writes the present second into the file.
    sequence = avif_of_ticks(2**63)
    answer = await site.upload(sequence)
    assert answer.status_code == 201
    assert (answer.json()["format"], answer.json()["duration_ms"]) == ("avif", None)
    assert (await site.upload(sequence)).status_code == 200, "a retry finds it"


async def test_a_form_carries_preset_metadata_and_file_name(site: Site) -> None:
    answer = await site.client.post(
        "/v1/images",
        files={"file": ("Größe/../été.jpg", PHOTO, "image/jpeg")},
        data={"preset": "archive", "metadata": json.dumps({"camera": "Nord 4"})},
    )
    assert answer.status_code == 201
    image = answer.json()
    assert image["filename"] == "été.jpg"
    assert image["metadata"] == {"camera": "Nord 4"}
    assert image["preset"] == "archive"
    assert image["renditions"] == []
    original = await site.client.get(image["links"]["original"])
    assert original.content == PHOTO


async def test_headers_carry_metadata_and_file_name(site: Site) -> None:
    headers = {
        "X-Pixlake-Filename": "C%3A%5Cphotos%5C%E6%B5%B7.jpg",
        "X-Pixlake-Meta-Place": "Sylt %26 Amrum",
        "X-Pixlake-Meta-Shift": "100%",
    }
    image = (await site.upload(headers=headers)).json()
    assert image["filename"] == "海.jpg"
    assert image["metadata"] == {"place": "Sylt & Amrum", "shift": "100%"}


async def test_content_disposition_names_the_file(site: Site) -> None:
    headers = {"Content-Disposition": "attachment; filename=\"x.jpg\"; filename*=UTF-8''%C3%A9.jpg"}
    assert (await site.upload(headers=headers)).json()["filename"] == "é.jpg"


async def test_the_same_bytes_again_change_nothing(site: Site) -> None:
    first = await site.upload()
    before = {key for key in await site.stored() if not key.startswith("journal/")}
    second = await site.upload()
    assert (second.status_code, second.headers["Idempotent-Replayed"]) == (200, "true")
    assert second.json() == first.json()
    after = {key for key in await site.stored() if not key.startswith("journal/")}
    assert after == before
    listed = (await site.client.get("/v1/images")).json()
    assert [image["image_id"] for image in listed["images"]] == [first.json()["image_id"]]


async def test_a_raw_upload_and_a_form_of_the_same_bytes_are_one_image(site: Site) -> None:
    raw = await site.upload()
    form = await site.client.post("/v1/images", files={"file": ("other-name.jpg", PHOTO)})
    assert form.status_code == 200
    assert form.json()["image_id"] == raw.json()["image_id"]


async def test_other_metadata_or_preset_is_another_image(site: Site) -> None:
    ids = {
        (await site.upload()).json()["image_id"],
        (await site.upload(headers={"X-Pixlake-Meta-a": "1"})).json()["image_id"],
        (await site.upload(params={"preset": "archive"})).json()["image_id"],
    }
    assert len(ids) == 3


async def test_an_idempotency_key_is_the_identity(site: Site) -> None:
    key = {"Idempotency-Key": "order-7/photo-1"}
    first = await site.upload(headers=key)
    assert first.status_code == 201
    assert (await site.upload(headers=key)).status_code == 200
    before = set(await site.stored())
    conflict = await site.upload(png(), headers=key)
    assert (conflict.status_code, conflict.json()["code"]) == (409, "idempotency_conflict")
    assert set(await site.stored()) == before
    other = await site.upload(headers={"Idempotency-Key": "order-7/photo-2"})
    assert other.status_code == 201
    assert other.json()["image_id"] != first.json()["image_id"]


async def test_a_missing_content_type_is_no_obstacle(site: Site) -> None:
    answer = await site.client.post("/v1/images", content=PHOTO)
    assert answer.status_code == 201


@pytest.mark.parametrize("quoted", ['"order-8"', '"order-8";version=1'])
async def test_a_quoted_key_is_the_same_key(site: Site, quoted: str) -> None:
    first = await site.upload(headers={"Idempotency-Key": "order-8"})
    again = await site.upload(headers={"Idempotency-Key": quoted})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["image_id"] == first.json()["image_id"]


async def test_the_content_type_of_s3_tools_is_taken(site: Site) -> None:
    answer = await site.upload(headers={"Content-Type": "binary/octet-stream"})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ('filename="a%22b.jpg"', 'a"b.jpg'),
        ("filename=\"plain.jpg\"; filename*=UTF-8''%c3%a9.jpg", "\u00e9.jpg"),
        ('filename="100%.jpg"', "100%.jpg"),
    ],
)
async def test_names_in_a_form_are_read_as_browsers_write_them(
    site: Site, said: str, kept: str
) -> None:
    body = f'--x\r\nContent-Disposition: form-data; name="file"; {said}\r\n\r\n'.encode()
    answer = await site.client.post(
        "/v1/images",
        content=body + PHOTO + b"\r\n--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert answer.json()["filename"] == kept


async def test_an_image_expires_when_the_store_says(site: Site) -> None:
    image = (await site.upload()).json()
    record = await site.lake.reader.record("acme", image["image_id"])
    expires = datetime.fromisoformat(image["expires_at"])
    days = StoreSettings().last_days
    left = (await site.client.get(image["links"]["original"])).headers["Cache-Control"]
    assert expires - record.window_start == timedelta(days=days)
    assert left.startswith("private, max-age=")
    assert left.endswith(", immutable")
    seconds = int(left.split("max-age=")[1].split(",")[0])
    assert days * 86400 - 120 < seconds <= days * 86400
