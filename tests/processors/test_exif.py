"""EXIF as columns: the values agree with Pillow, and hostile values do no harm."""

import io
import struct
from datetime import datetime
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import IFDRational
from pydantic import TypeAdapter, ValidationError

from lake.lake import Lake
from lake.settings import LakeSettings
from processors.codecs.exif import NOTHING, Exif, read_exif
from processors.columns import columns_of
from processors.job import ImageJob, by_key
from processors.pipeline import process
from processors.preset import ARCHIVE
from processors.sandbox.sandbox import Sandbox
from processors.settings import Limits, ProcessorSettings
from processors.worker import Worker
from tests.corpora import PILLOW, files_of
from tests.photos import FormatName, encoded, scene
from tests.processors.exif_samples import EXIF_IFD, GPS_IFD, photo, taken

FOUND = Exif(
    camera_make="Fujifilm",
    camera_model="X-T5",
    lens="XF 23mm F2",
    exposure_seconds=0.004,
    f_number=2.8,
    iso=200,
    focal_length_mm=23,
    taken_at=datetime(2026, 11, 20, 14, 3, 11, 250_000),  # noqa: DTZ001 - a clock on a wall
    taken_offset_minutes=-210,
    gps_latitude=52.501,
    gps_longitude=-13.25,
    gps_altitude=-8.5,
)


@pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif", "heic", "tiff"])
def test_what_a_camera_wrote(name: FormatName) -> None:
    found = process(photo(name, taken()), ARCHIVE, Limits()).facts.exif
    assert found == FOUND


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "bmp", "tiff"])
def test_a_file_without(name: FormatName) -> None:
    data = encoded(scene(width=48, height=32), name)
    assert process(data, ARCHIVE, Limits()).facts.exif == NOTHING


@pytest.mark.filterwarnings("ignore")  # Pillow's, of its own broken files
def test_pillow_reads_the_same_of_its_own_files() -> None:
    compared = 0
    for path, data in files_of(PILLOW).items():
        if not path.endswith((".jpg", ".tif", ".webp", ".png")):
            continue
        try:
            with Image.open(io.BytesIO(data)) as image:
                theirs, block = image.getexif(), image.info.get("exif")
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, struct.error):
            continue
        mine = read_exif(block or (data if path.endswith(".tif") else b""))
        if not theirs or mine == NOTHING:
            continue
        inner = theirs.get_ifd(EXIF_IFD)
        texts = (theirs.get(0x010F), theirs.get(0x0110), inner.get(0xA434))
        for text, said in zip((mine.camera_make, mine.camera_model, mine.lens), texts, strict=True):
            # Pillow decodes text that is not ASCII as Latin-1.
            assert text == _text(said) or not (said or "").isascii(), path
        for ours, tag in ((mine.exposure_seconds, 0x829A), (mine.f_number, 0x829D)):
            said = float(inner.get(tag, 0))
            assert ours == (pytest.approx(said) if 0 < said <= 1e6 else None), path
        assert mine.iso == inner.get(0x8827), path
        compared += 1
    assert compared >= 8


def _text(said: str | None) -> str | None:
    return (said or "").split("\0")[0].strip() or None


def block(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """EXIF block of one directory whose values take four bytes each."""
    parts = [struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + struct.pack(f"{order}H", len(entries)) + b"".join(parts) + bytes(4)


def test_text_is_cut_and_prints() -> None:
    said = "Evil\x1b[2J\u202e\u200b\r\nCorp" + 500 * "x"
    exif = Image.Exif()
    exif[0x010F] = said.encode()
    make = read_exif(exif.tobytes()).camera_make
    assert make is not None
    assert make.startswith("Evil[2J  Corpxxx")
    assert len(make) == 100
    exif[0x010F] = b"caf\xe9"
    assert read_exif(exif.tobytes()).camera_make == "caf\ufffd"


@pytest.mark.parametrize(
    ("tag", "value", "field"),
    [
        (0x829A, IFDRational(1, 0), "exposure_seconds"),
        (0x829A, IFDRational(0, 1), "exposure_seconds"),
        (0x920A, IFDRational(4_000_000_000, 1), "focal_length_mm"),
        (0x8827, 0, "iso"),
        (0x9003, "0000:00:00 00:00:00", "taken_at"),
        (0x9003, "    :  :     :  :  ", "taken_at"),
        (0x9003, "2026:02:31 10:00:00", "taken_at"),
        (0x9003, "0001:01:01 00:00:00", "taken_at"),
        (0x9011, "+25:00", "taken_offset_minutes"),
        (0x9011, "\uff0b01:00", "taken_offset_minutes"),
    ],
)
def test_what_cannot_be_is_nothing(tag: int, value: object, field: str) -> None:
    exif = taken()
    exif.get_ifd(EXIF_IFD)[tag] = value
    found = read_exif(exif.tobytes())
    assert getattr(found, field) is None
    assert found.camera_model == "X-T5"


@pytest.mark.parametrize(
    "gps",
    [
        {2: (IFDRational(91), IFDRational(0, 1), IFDRational(0, 1))},
        {2: (IFDRational(52), IFDRational(0, 1), IFDRational(0, 0))},
        {1: "X"},
        {3: ""},
        {4: (IFDRational(181), IFDRational(0, 1), IFDRational(0, 1))},
    ],
)
def test_half_a_place_is_none(gps: dict[int, object]) -> None:
    exif = taken()
    exif.get_ifd(GPS_IFD).update(gps)
    found = read_exif(exif.tobytes())
    assert (found.gps_latitude, found.gps_longitude) == (None, None)


@pytest.mark.parametrize(
    "data",
    [
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"XX*\0\x08\0\0\0\0\0",
        b"Exif\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08" + b"\xff" * 3000,
        block((EXIF_IFD, 4, 1, struct.pack("<I", 8))),  # refers to itself
        block((0x010F, 2, 2**32 - 1, struct.pack("<I", 2**32 - 1))),
        block((EXIF_IFD, 9, 1, struct.pack("<i", -8))),
    ],
)
def test_nonsense_is_nothing(data: bytes) -> None:
    assert read_exif(data) == NOTHING


VALID = TypeAdapter(Exif)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for prefix in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"Exif\0\0II*\0\x08\0\0\0"):
        found = read_exif(prefix + data)
        assert VALID.validate_json(VALID.dump_json(found)) == found


@given(st.data())
def test_any_damage_of_a_real_block(data: st.DataObject) -> None:
    whole = bytearray(taken().tobytes())
    for _ in range(data.draw(st.integers(1, 20))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = read_exif(bytes(whole))
    assert VALID.validate_json(VALID.dump_json(found)) == found


def test_fractions_are_exact_enough() -> None:
    assert FOUND.exposure_seconds == float(Fraction(1, 250))


@pytest.mark.parametrize(("tenant", "kept"), [("acme", True), ("zoo", False)])
async def test_places_are_kept_for_named_tenants_only(tenant: str, kept: bool) -> None:
    lake = await Lake.open(LakeSettings(store_url="memory://"))
    settings = ProcessorSettings(sandbox_children=1, gps_tenants="acme, harbour")
    worker = Worker(lake, await Sandbox.start(settings), settings)
    try:
        data = photo("jpeg", taken())
        record = (await worker.handle(job(tenant, data))).record
    finally:
        await worker.close()
    assert (record.gps_latitude, record.gps_longitude, record.gps_altitude) == (
        (52.501, -13.25, -8.5) if kept else (None, None, None)
    )
    assert (record.camera_model, record.taken_offset_minutes) == ("X-T5", -210)
    assert record.codes is None


def job(tenant: str, data: bytes) -> ImageJob:
    return ImageJob(
        tenant=tenant,
        source="api",
        identity=by_key("one"),
        data=np.frombuffer(data, np.uint8),
        preset=ARCHIVE,
        received_at=datetime.now().astimezone(),
    )


def test_nobody_is_named_by_default() -> None:
    assert not ProcessorSettings().keeps_gps("acme")
    with pytest.raises(ValidationError, match="is no tenant"):
        ProcessorSettings(gps_tenants="acme, Harbour")
    assert not ProcessorSettings(gps_tenants="acm").keeps_gps("acme")
    assert ProcessorSettings(gps_tenants="*").keeps_gps("acme")


def test_bands_are_the_hash() -> None:
    columns = columns_of(process(photo("jpeg", taken()), ARCHIVE, Limits()), gps=False)
    whole = sum(columns[f"phash_{n}"] << 16 * (3 - n) for n in range(4))
    assert whole == columns["phash"] & (1 << 64) - 1
    assert (columns["megapixels"], columns["aspect"]) == (0.001536, 1.5)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("9999:12:31 23:59:59", "9999:12:31 23:59:59"),
        ("2300:01:01 00:00:00", "2300:01:01 00:00:00"),
        ("2026:02:31 10:00:00", "2026:02:31 10:00:00"),
        ("0000:00:00 00:00:00", "0000:00:00 00:00:00"),
        ("yesterday at 5\x1b[2J", "yesterday at 5[2J"),
        ("    :  :     :  :  ", None),
        ("2026:11:20 14:03:11", None),
    ],
)
def test_a_time_that_cannot_be_keeps_its_text(text: str, kept: str | None) -> None:
    exif = taken()
    exif.get_ifd(EXIF_IFD)[0x9003] = text
    found = read_exif(exif.tobytes())
    assert found.taken_text == kept
    assert (found.taken_at is None) == (text != "2026:11:20 14:03:11")
