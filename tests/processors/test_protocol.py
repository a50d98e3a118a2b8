"""Protocol: the parent accepts only answers that the request can lead to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.codecs.formats import JPEG
from processors.errors import Refused, TooManyPixels, UnsupportedFormat
from processors.job import Processed
from processors.pipeline import process
from processors.preset import ARCHIVE, WEB
from processors.sandbox.answer_check import check_answer, processed_of
from processors.sandbox.protocol import (
    LENGTH,
    Answer,
    BrokenProtocol,
    Refusal,
    answer_of,
    error_of,
    framed,
    parse_reply,
    refusal_of,
)
from processors.settings import FORMAT_NAMES, Limits, ProcessorSettings
from tests.photos import encoded, jpeg, scene


@pytest.fixture(scope="module")
def processed() -> Processed:
    return process(jpeg(), WEB, Limits())


def unframed(frame: bytes) -> bytes:
    (length,) = LENGTH.unpack(frame[: LENGTH.size])
    assert len(frame) == LENGTH.size + length
    return frame[LENGTH.size :]


def test_a_result_survives_the_line(processed: Processed) -> None:
    answer = parse_reply(unframed(framed(answer_of(processed, "n"))))
    assert isinstance(answer, Answer)
    check_answer(answer, WEB, Limits())
    assert processed_of(answer, JPEG, [each.data for each in processed.renditions]) == processed


def test_a_white_image_and_a_black_one_survive_the_line() -> None:
    for colour in (0, 255):
        white = scene(width=33, height=21).point(lambda _, colour=colour: colour)
        for_line = answer_of(process(encoded(white, "png"), ARCHIVE, Limits()), "n")
        assert parse_reply(unframed(framed(for_line))) == for_line


@pytest.mark.parametrize(
    "error", [TooManyPixels("a", limit=5, value=6), UnsupportedFormat("b", value="SVG")]
)
def test_a_refusal_survives_the_line(error: Refused) -> None:
    refusal = parse_reply(unframed(framed(refusal_of(error, "n"))))
    assert isinstance(refusal, Refusal)
    raised = error_of(refusal)
    assert type(raised) is type(error)
    assert raised.fault == error.fault


@pytest.mark.parametrize(
    "lie",
    [
        {"width": 0},
        {"width": 2**40},
        {"width": 17_000},
        {"frames": 0},
        {"orientation": 9},
        {"renditions": []},
        {"extra": 1},
        {"kind": "ready"},
    ],
)
def test_lies_about_the_image_are_not_believed(
    processed: Processed, lie: dict[str, object]
) -> None:
    said = json.loads(unframed(framed(answer_of(processed, "n")))) | lie
    with pytest.raises(BrokenProtocol):
        believe(said)


@pytest.mark.parametrize(
    ("part", "lie"),
    [
        ("measures", {"brightness": 300}),
        ("measures", {"sharpness": "NaN"}),
        ("measures", {"noise": float("nan")}),
        ("measures", {"contrast": float("inf")}),
        ("measures", {"entropy": 8.1}),
        ("measures", {"clipped_shadows": -0.1}),
        ("measures", {"colorfulness": None}),
        ("measures", {"dominant_color": "<b>"}),
        ("measures", {"dominant_colors": [{"color": "#000000", "share": 1.5}]}),
        ("measures", {"dominant_colors": 6 * [{"color": "#000000", "share": 0.1}]}),
        ("measures", {"thumbhash": "<script>"}),
        ("measures", {"phash": 2**63}),
        ("measures", {"codes": [{"kind": "sql", "text": "x"}]}),
        ("measures", {"codes": [{"kind": "qr", "text": "x" * 1001}]}),
        ("measures", {"codes": [{"kind": "qr", "text": "a\u202eb"}]}),
        ("measures", {"codes": 9 * [{"kind": "qr", "text": "x"}]}),
        ("measures", {"extra": 1}),
        ("exif", {"camera_make": "x" * 101}),
        ("exif", {"lens": "a\x1b[2J"}),
        ("exif", {"iso": 2**31}),
        ("exif", {"exposure_seconds": -1}),
        ("exif", {"taken_at": "yesterday"}),
        ("exif", {"taken_at": "2026-11-20T14:03:11Z"}),
        ("exif", {"taken_offset_minutes": 1440}),
        ("exif", {"gps_latitude": 91}),
        ("exif", {"gps_altitude": float("nan")}),
        ("timings", {"decode_ms": -1}),
        ("details", {"icc_name": "x" * 81}),
    ],
)
def test_lies_about_what_it_found_are_not_believed(
    processed: Processed, part: str, lie: dict[str, object]
) -> None:
    said = json.loads(unframed(framed(answer_of(processed, "n"))))
    believe(said)
    said[part] |= lie
    with pytest.raises(BrokenProtocol):
        believe(said)


@pytest.mark.parametrize(
    "lie",
    [{"name": "../x"}, {"format": "png"}, {"size": 2**40}, {"size": -1}, {"width": 0}, {"size": 0}],
)
def test_lies_about_a_rendition_are_not_believed(
    processed: Processed, lie: dict[str, object]
) -> None:
    said = json.loads(unframed(framed(answer_of(processed, "n"))))
    said["renditions"][0] |= lie
    with pytest.raises(BrokenProtocol):
        believe(said)


def believe(said: object) -> None:
    answer = parse_reply(json.dumps(said).encode())
    assert isinstance(answer, Answer)
    check_answer(answer, WEB, Limits())


@pytest.mark.parametrize("code", ["overloaded", "unknown_preset", "decoder_crashed", "x"])
def test_codes_that_are_not_a_childs_to_give(code: str) -> None:
    with pytest.raises(BrokenProtocol):
        error_of(Refusal(nonce="n", code=code, detail="m"))


def test_messages_hold_nothing_for_a_log_to_stumble_over() -> None:
    assert (
        error_of(Refusal(nonce="n", code="truncated", detail="a\r\nb\x1b[31mc")).detail == "ab[31mc"
    )


json_texts = st.recursive(st.none() | st.text(), st.lists).map(json.dumps).map(str.encode)


@given(st.binary(max_size=200) | json_texts)
def test_any_reply_is_understood_or_broken(text: bytes) -> None:
    with pytest.raises(BrokenProtocol):
        parse_reply(text)


def test_a_child_gets_each_limit_of_the_settings() -> None:
    sent = {"max_pixels": 7, "damaged": "refuse", "codes": True, "allow_png": False}
    limits = ProcessorSettings.model_validate(sent).limits
    assert (limits.max_pixels, limits.damaged, limits.codes) == (7, "refuse", True)
    assert set(FORMAT_NAMES) - limits.formats == {"png"}
    assert Limits.model_fields.keys() - ProcessorSettings.model_fields.keys() == {"formats"}
