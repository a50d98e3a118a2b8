"""Columns of the table `images` that the API shows, too: name, type, meaning, unit and origin.

A new column is a field here or in `lake/tables/measure_columns.py`, and a value (docs/columns.md,
"A new column"). `lake/tables/schema.py` adds the columns that only record and table have.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lake.tables.columns import BigInt, Column, Int, LocalTime
from lake.tables.measure_columns import MeasureColumns

Source = Literal["api", "kafka"]


class RenditionColumns(BaseModel):
    """Rendition of an image, in record, row and API."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Column("service", "name in the preset", repeats=True)]
    format: Annotated[str, Column("service", "format of the file", repeats=True)]
    content_type: Annotated[str, Column("service", "media type", repeats=True)]
    width: Annotated[Int, Column("service", "width", unit="px", repeats=True)]
    height: Annotated[Int, Column("service", "height", unit="px", repeats=True)]
    bytes: Annotated[BigInt, Column("service", "size of the file", unit="bytes")]
    sha256: Annotated[str, Column("service", "SHA-256 of the file")]


class _FileColumns(BaseModel):
    """Facts of the request, of the file, and of the time that it took."""

    model_config = ConfigDict(frozen=True)

    image_id: Annotated[str, Column("service", "32 hex digits; the key of the table")]
    tenant: Annotated[str, Column("service", "owner of the image", repeats=True)]
    source: Annotated[
        Source,
        Column("service", "way by which the image came in: `api` (HTTP) or `kafka`", repeats=True),
    ]
    received_at: Annotated[
        datetime, Column("service", "when Pixlake had received the whole image", unit="UTC")
    ]
    event_time: Annotated[
        datetime | None,
        Column(
            "kafka", "time of the event by the producer (`ce_time`, or the message's time)", "UTC"
        ),
    ] = None
    topic: Annotated[str | None, Column("kafka", "Kafka topic, else null", repeats=True)] = None
    partition: Annotated[
        Int | None, Column("kafka", "Kafka partition, else null", repeats=True)
    ] = None
    offset: Annotated[BigInt | None, Column("kafka", "Kafka offset, else null")] = None
    filename: Annotated[
        str | None, Column("client", "name that the client sent; never used as a path")
    ] = None
    metadata: Annotated[
        dict[str, str],
        Column("client", "names and values that the client sent", repeats=True, nullable=True),
    ] = Field(default_factory=dict)
    preset: Annotated[str, Column("service", "preset that was applied", repeats=True)]
    preset_version: Annotated[Int, Column("service", "version of the preset", repeats=True)]
    preset_tenant: Annotated[
        str | None,
        Column(
            "service",
            "tenant that owns the preset; null for a shared or built-in one",
            repeats=True,
            since=7,
        ),
    ] = None
    sha256: Annotated[str, Column("service", "SHA-256 of the original's bytes")]
    bytes: Annotated[BigInt, Column("service", "size of the original", unit="bytes")]
    format: Annotated[
        str,
        Column(
            "file",
            "`jpeg`, `png`, `webp`, `avif`, `heic`, `gif`, `tiff`, `bmp`, by content",
            repeats=True,
        ),
    ]
    content_type: Annotated[str, Column("file", "media type, by content", repeats=True)]
    width: Annotated[
        Int, Column("file", "as displayed (after EXIF orientation)", unit="px", repeats=True)
    ]
    height: Annotated[Int, Column("file", "as displayed", unit="px", repeats=True)]
    orientation: Annotated[
        Int, Column("file", "EXIF orientation of the file, 1 to 8", repeats=True)
    ]
    frames: Annotated[Int, Column("file", "frames or pages in the file", repeats=True)]
    has_alpha: Annotated[bool, Column("file", "whether the image can have transparent pixels")]
    megapixels: Annotated[
        float | None,
        Column("file", "width x height", unit="Mpx", formula="`width * height / 1,000,000`"),
    ] = None
    aspect: Annotated[
        float | None, Column("file", "width / height, as displayed", formula="`width / height`")
    ] = None
    bit_depth: Annotated[
        Int | None,
        Column("file", "bits a sample in the file, 1 to 64", unit="bits", repeats=True),
    ] = None
    color_space: Annotated[
        str | None,
        Column("file", "colour space of the file: `rgb`, `grey`, `cmyk`, `lab`", repeats=True),
    ] = None
    icc_name: Annotated[
        str | None,
        Column(
            "file",
            "name in the colour profile, at most 80 characters; null without a profile",
            repeats=True,
        ),
    ] = None
    duration_ms: Annotated[
        BigInt | None,
        Column("file", "duration of one run of an animation; null for a still image", unit="ms"),
    ] = None
    damaged: Annotated[
        bool | None,
        Column(
            "file",
            "whether the decoder had to guess at pixels ([formats](formats.md))",
            repeats=True,
        ),
    ] = None
    gain_map: Annotated[
        str | None,
        Column(
            "file",
            "HDR gain map beside the image: `ultra_hdr` (XMP `hdrgm`), `iso_21496_1`, `apple`; "
            "null without one. Renditions are of the base image, which is SDR",
            repeats=True,
        ),
    ] = None
    camera_make: Annotated[
        str | None, Column("exif", "EXIF `Make`, at most 100 characters", repeats=True)
    ] = None
    camera_model: Annotated[
        str | None, Column("exif", "EXIF `Model`, at most 100 characters", repeats=True)
    ] = None
    lens: Annotated[
        str | None, Column("exif", "EXIF `LensModel`, at most 100 characters", repeats=True)
    ] = None
    exposure_seconds: Annotated[
        float | None, Column("exif", "EXIF `ExposureTime`", unit="s", repeats=True)
    ] = None
    f_number: Annotated[float | None, Column("exif", "EXIF `FNumber`", repeats=True)] = None
    iso: Annotated[Int | None, Column("exif", "EXIF `PhotographicSensitivity`", repeats=True)] = (
        None
    )
    focal_length_mm: Annotated[
        float | None, Column("exif", "EXIF `FocalLength`", unit="mm", repeats=True)
    ] = None
    taken_at: Annotated[
        LocalTime | None,
        Column("exif", "EXIF `DateTimeOriginal`: time of the camera's clock, **not UTC**", "local"),
    ] = None
    taken_offset_minutes: Annotated[
        Int | None,
        Column(
            "exif",
            "EXIF `OffsetTimeOriginal`: `taken_at` minus so many minutes is UTC; null if the "
            "camera did not say",
            unit="min",
            repeats=True,
        ),
    ] = None
    taken_text: Annotated[
        str | None,
        Column(
            "exif",
            "text of EXIF `DateTimeOriginal` if it is not a possible time (year 9999, 31 "
            "February), and `taken_at` is null; otherwise null",
            repeats=True,
        ),
    ] = None
    gps_latitude: Annotated[
        float | None,
        Column(
            "exif", "north, -90 to 90; only for tenants in `PIXLAKE_GPS_TENANTS`", unit="degrees"
        ),
    ] = None
    gps_longitude: Annotated[
        float | None,
        Column(
            "exif", "east, -180 to 180; only for tenants in `PIXLAKE_GPS_TENANTS`", unit="degrees"
        ),
    ] = None
    gps_altitude: Annotated[
        float | None,
        Column("exif", "above sea level; only for tenants in `PIXLAKE_GPS_TENANTS`", unit="m"),
    ] = None
    process_ms: Annotated[float, Column("timing", "wall clock in the sandbox", unit="ms")]
    decode_ms: Annotated[
        float | None,
        Column("timing", "part of `process_ms`: from header to upright sRGB pixels", unit="ms"),
    ] = None
    measure_ms: Annotated[
        float | None, Column("timing", "part of `process_ms`: all measures", unit="ms")
    ] = None
    render_ms: Annotated[
        float | None,
        Column("timing", "part of `process_ms`: the operations of all renditions", unit="ms"),
    ] = None
    encode_ms: Annotated[
        float | None,
        Column("timing", "part of `process_ms`: the encoders of all renditions", unit="ms"),
    ] = None


class ImageColumns(MeasureColumns, _FileColumns):
    """Columns of one image that the API shows; those of later versions are None in older rows."""
