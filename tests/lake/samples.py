"""Images without pixels: records, objects and rows as the lake stores them."""

import hashlib
from datetime import UTC, datetime

from lake import layout
from lake.commit.records import Attempt
from lake.lake import Commit, Lake
from lake.tables.rows import decode_chain_file, to_records
from lake.tables.schema import ImageRecord, StoredRendition

TENANT = "acme"

_SINCE_VERSION_2: dict[str, object] = {
    "megapixels": 0.256,
    "aspect": 1.6,
    "bit_depth": 8,
    "color_space": "rgb",
    "icc_name": "Display P3",
    "duration_ms": None,
    "damaged": False,
    "gain_map": "ultra_hdr",
    "phash_0": 65_535,
    "phash_1": 65_535,
    "phash_2": 65_535,
    "phash_3": 65_494,
    "noise": 1.25,
    "contrast": 40.5,
    "colorfulness": 33.0,
    "entropy": 7.25,
    "clipped_shadows": 0.0,
    "clipped_highlights": 0.125,
    "dominant_colors": ({"color": "#102030", "share": 0.75}, {"color": "#ffffff", "share": 0.25}),
    "thumbhash": "1QcSHQRnh493V4dIh4eXh1h4kJUI",
    "camera_make": "Fujifilm",
    "camera_model": "X-T5",
    "lens": "XF 23mm F2",
    "exposure_seconds": 0.004,
    "f_number": 2.8,
    "iso": 200,
    "focal_length_mm": 23.0,
    "taken_at": datetime(2026, 11, 20, 14, 3, 11, 250_000),  # noqa: DTZ001 - local time of a camera
    "taken_offset_minutes": 60,
    "taken_text": "2300:01:01 00:00:00",
    "gps_latitude": 52.5,
    "gps_longitude": -13.25,
    "gps_altitude": 34.0,
    "codes": ({"kind": "qr", "text": "https://example.org/é"},),
    "faces": 2,
    "decode_ms": 0.5,
    "measure_ms": 0.25,
    "render_ms": 0.125,
    "encode_ms": 0.5,
}


def image_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def record(attempt: Attempt, content: bytes = b"pixels", **changes: object) -> ImageRecord:
    """A record as a worker builds it, for `content`."""
    digest = hashlib.sha256(content).hexdigest()
    fields: dict[str, object] = {
        "image_id": attempt.image_id,
        "tenant": attempt.tenant,
        "source": "api",
        "attempt": attempt.id,
        "window_start": attempt.window_start,
        "content_hash": digest,
        "received_at": datetime.now(UTC).replace(microsecond=0),
        "filename": "café.jpg",
        "metadata": {"camera": "7"},
        "preset": "web",
        "preset_version": 1,
        "original_key": attempt.key("original", "jpg"),
        "sha256": digest,
        "bytes": len(content),
        "format": "jpeg",
        "content_type": "image/jpeg",
        "width": 640,
        "height": 400,
        "orientation": 1,
        "frames": 1,
        "has_alpha": False,
        "sharpness": 12.5,
        "brightness": 99.0,
        "dominant_color": "#102030",
        "phash": -42,
        "renditions": (
            StoredRendition(
                name="320",
                key=attempt.key("320", "jpg"),
                format="jpeg",
                content_type="image/jpeg",
                width=320,
                height=200,
                bytes=5,
                sha256=hashlib.sha256(b"small").hexdigest(),
            ),
        ),
        "process_ms": 1.5,
        **_SINCE_VERSION_2,
    }
    return ImageRecord.model_validate(fields | changes)


async def commit(lake: Lake, name: str, content: bytes = b"pixels", tenant: str = TENANT) -> Commit:
    """Run a complete attempt at the image `name`."""
    return await complete(lake, await lake.committer.begin(tenant, image_id(name)), content)


async def complete(lake: Lake, attempt: Attempt, content: bytes = b"pixels") -> Commit:
    """Commit an attempt that has begun."""
    made = record(attempt, content)
    objects = {made.original_key: content, made.renditions[0].key: b"small"}
    return await lake.committer.commit(attempt, made, objects)


async def keys(lake: Lake, prefix: str = "") -> set[str]:
    """Return the keys below a prefix, without settings and the time of the last sweep."""
    return {stored.key for stored in await lake.store.objects(prefix)} - {
        layout.STORE,
        layout.ACCEPTED_TIME,
    }


async def image_objects(lake: Lake, name: str, tenant: str = TENANT) -> set[str]:
    """Names of the objects that the store holds of one image."""
    found = await keys(lake, f"images/{tenant}/{image_id(name)[:2]}/{image_id(name)}")
    return {key.rsplit("/", 1)[-1] for key in found}


async def rows(lake: Lake) -> list[ImageRecord]:
    """Rows of all segments, ordered by image id."""
    found = []
    for key in await keys(lake, layout.LAKE_IMAGES):
        data, _ = await lake.store.get(key)
        found += to_records(decode_chain_file(key, data))
    return sorted(found, key=lambda row: row.image_id)
