import pytest

from processors.codecs.formats import FORMATS, HEIC, check_bytes, sniff
from processors.errors import EmptyImage, NotAnImage, TooManyBytes, UnsupportedFormat
from processors.settings import Limits, ProcessorSettings
from tests.photos import FORMAT_NAMES, FormatName, encoded, scene


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_every_taken_format_is_known_by_its_bytes(name: FormatName) -> None:
    assert sniff(encoded(scene(width=32, height=20), name)) is FORMATS[name]


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'<?xml version="1.0"?>\n<!-- a comment -->\n<svg xmlns="x">', "SVG"),
        (b"\xef\xbb\xbf<SVG>", "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\x2f", "JPEG 2000"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"II*\0\x10\0\0\0CR\x02\0", "camera RAW"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "camera RAW"),
        (b"FUJIFILMCCD-RAW 0201", "camera RAW"),
        (b"8BPS\0\x01", "PSD"),
        (b"\0\0\x01\0\x01\0", "ICO"),
        (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41", "video"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0", "video"),
        (b"RIFF\x10\0\0\0AVI LIST", "video"),
        (b"\0\0\0\x08wide\0\0\1\0mdat", "video"),
        ((b"G" + bytes(187)) * 6, "video"),
        (b"OggS\0\2", "video"),
        (b"P6\n640 480\n255\n", "PNM"),
        (b"P5#made by hand\n", "PNM"),
        (b"PF\n640 480\n-1.0\n", "PFM"),
        (b"\x59\xa6\x6a\x95\0\0\0\1", "Sun raster"),
        (b"\x76\x2f\x31\x01\x02", "OpenEXR"),
        (b"#?RADIANCE\n", "Radiance HDR"),
        (bytes(128) + b"DICM\x02\0", "DICOM"),
    ],
)
def test_what_we_do_not_take_is_named(head: bytes, name: str) -> None:
    with pytest.raises(UnsupportedFormat) as refused:
        sniff(head)
    assert refused.value.value == name
    assert refused.value.code == "unsupported_format"


@pytest.mark.parametrize("name", FORMAT_NAMES)
def test_every_format_can_be_switched_off(
    name: FormatName, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = memoryview(encoded(scene(width=32, height=20), name))
    assert check_bytes(data, ProcessorSettings().limits) is FORMATS[name]
    monkeypatch.setenv(f"PIXLAKE_ALLOW_{name.upper()}", "false")
    with pytest.raises(UnsupportedFormat) as refused:
        check_bytes(data, ProcessorSettings().limits)
    assert refused.value.value == name.upper()
    assert name not in refused.value.detail.partition("send one of")[2]


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_heic_by_its_brands(brand: bytes) -> None:
    assert sniff(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1miaf") is HEIC


@pytest.mark.parametrize(
    "head",
    [
        b"hello, world",
        b"BM is how this text starts",
        b"<!doctype html><html><body>",
        b"PK\x03\x04",
        b"\xff\xd8",
        b"RIFF\x10\0\0\0WAVEfmt ",
        bytes(64),
    ],
)
def test_what_is_no_image_is_called_so(head: bytes) -> None:
    with pytest.raises(NotAnImage):
        sniff(head)


def test_no_bytes_and_too_many_bytes() -> None:
    with pytest.raises(EmptyImage):
        check_bytes(memoryview(b""), Limits())
    with pytest.raises(TooManyBytes) as refused:
        check_bytes(memoryview(bytes(101)), Limits(max_bytes=100))
    assert (refused.value.limit, refused.value.value) == (100, 101)


@pytest.mark.parametrize(
    ("head", "hint"),
    [
        (b"\0\0\0\0\7" + b"\xff\xd8\xff\xe0" + bytes(20), "schema registry's frame"),
        (b' {"Records": [{"s3": {}}]}', "look like JSON"),
        (bytes(30), "known image format$"),
        (b"plain text", "known image format$"),
    ],
)
def test_what_surrounds_an_image_is_named(head: bytes, hint: str) -> None:
    with pytest.raises(NotAnImage, match=hint):
        sniff(head)
