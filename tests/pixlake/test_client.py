"""The client with the real HTTP API: each upload is stored once and can be read back."""

import hashlib
from pathlib import Path
from typing import Unpack

import pytest

from pixlake.client import Client, Conditions, Refused
from tests.pixlake.door import Door


def test_an_image_goes_in_once_and_comes_out_as_it_was(
    client: Client, photo: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "Rakete ü.jpg"
    file.write_bytes(photo)
    first = client.upload(file, preset="web", metadata={"site": "Zürich 50%"})
    again = client.upload(photo, preset="web", metadata={"site": "Zürich 50%"})

    assert (first.outcome, again.outcome) == ("created", "replayed")
    assert again.image.image_id == first.image.image_id
    image = client.get(first.image.image_id)
    assert image == first.image
    assert (image.filename, image.metadata) == ("Rakete ü.jpg", {"site": "Zürich 50%"})
    assert image.sha256 == hashlib.sha256(photo).hexdigest()
    assert client.download(image) == photo
    assert client.save(image.image_id, tmp_path / "out.jpg") == len(photo)
    assert (tmp_path / "out.jpg").read_bytes() == photo
    for rendition in image.renditions:
        data = client.download(image, rendition.name)
        assert hashlib.sha256(data).hexdigest() == rendition.sha256
    with pytest.raises(KeyError, match="there are: original, 320"):
        client.download(image, "5000")


def test_a_listing_pages_newest_first(client: Client, photo: bytes) -> None:
    ids = [client.upload(photo, metadata={"n": str(n)}).image.image_id for n in range(5)]
    assert [image.image_id for image in client.images()] == ids[::-1]
    assert [image.image_id for image in client.images(limit=2)] == ids[:2:-1]
    page = client.page(limit=3)
    assert page.next is not None
    rest = client.page(limit=3, cursor=page.next)
    assert [image.image_id for image in (*page.images, *rest.images)] == ids[::-1]


def test_a_listing_with_conditions(client: Client, photo: bytes) -> None:
    made = [client.upload(photo, metadata={"n": str(n)}).image for n in range(3)]

    def ids(**only: Unpack[Conditions]) -> list[str]:
        return [image.image_id for image in client.images(**only)]

    assert ids(metadata={"n": "1"}) == [made[1].image_id]
    assert ids(metadata={"n": None}, since=made[1].received_at) == [
        made[2].image_id,
        made[1].image_id,
    ]
    local = made[1].received_at.astimezone().replace(tzinfo=None)
    assert ids(until=local, source="api") == [made[0].image_id]
    assert ids(format="png") == ids(preset="thumbnail") == ids(code="x") == []
    with pytest.raises(Refused, match="invalid_request"):
        ids(format="jpg")
    with pytest.raises(ValueError, match="one metadata name, not 2"):
        ids(metadata={"n": None, "m": None})


def test_an_idempotency_key_holds_other_bytes_off(client: Client, photo: bytes) -> None:
    assert client.upload(photo, idempotency_key="one").outcome == "created"
    assert client.upload(photo, idempotency_key="one").outcome == "replayed"
    assert client.upload(photo, idempotency_key="two").outcome == "created"
    with pytest.raises(Refused, match="idempotency_conflict"):
        client.upload(photo + b"more", idempotency_key="one")


def test_refusals_have_codes_and_limits(client: Client, photo: bytes, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(photo.ljust(20_000_000, b"x"))
    with pytest.raises(Refused) as caught:
        client.upload(large)
    assert caught.value.code == "too_many_bytes"
    assert (caught.value.limit, caught.value.value) == (2_000_000, 20_000_000)
    for data, code in (
        (b"", "empty_body"),
        (b"hello", "not_an_image"),
        (photo[:5000], "truncated"),
    ):
        with pytest.raises(Refused, match=code):
            client.upload(data)
    with pytest.raises(Refused, match="unknown_preset"):
        client.upload(photo, preset="poster")
    with pytest.raises(Refused, match="image_not_found"):
        client.get("0" * 32)
    assert list(client.images()) == []


def test_others_see_nothing(client: Client, door: Door, photo: bytes) -> None:
    image = client.upload(photo).image
    with Client(door.url, door.key("stranger")) as stranger:
        with pytest.raises(Refused, match="image_not_found"):
            stranger.get(image.image_id)
        with pytest.raises(Refused, match="image_not_found"):
            stranger.download(image)
    with Client(door.url, "pxl_wrong") as nobody, pytest.raises(Refused) as caught:
        nobody.upload(photo)
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")


def test_readiness_by_part(door: Door) -> None:
    with Client(door.url) as client:
        assert client.ready().ready
        before = door.parts["kafka"]
        door.parts["kafka"] = before.model_copy(update={"ready": False, "detail": "no broker"})
        try:
            now = client.ready()
        finally:
            door.parts["kafka"] = before
    assert not now.ready
    assert now.parts["api"].ready
    assert now.parts["kafka"].detail == "no broker"
