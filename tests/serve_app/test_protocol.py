"""Property tests of the codecs: any input is parsed or refused, and never does harm."""

import contextlib
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import TooManyBytes
from processors.untrusted_text import clean_filename
from serve_app.conditional import wanted_range
from serve_app.errors import MalformedMultipart, RangeNotSatisfiable
from serve_app.upload.filenames import attachment, from_disposition
from serve_app.upload.multipart import Form

BOUNDARIES = st.text("abcXYZ019'()+_,-./:=?", min_size=1, max_size=70).map(str.encode)
CUTS = st.lists(st.integers(0, 5000), max_size=12)


def cut(body: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    return [body[a:b] for a, b in pairwise(edges)]


def read(body: bytes, boundary: bytes, places: list[int], limit: int = 10**6) -> tuple[Form, bytes]:
    image = bytearray()
    form = Form(boundary, limit, image.extend)
    for chunk in cut(body, places):
        form.feed(chunk)
    form.finish()
    return form, bytes(image)


@given(preamble=st.sampled_from([b"", b"This is MIME.", b"\r\n", b"-", b"--x"]), places=CUTS)
def test_text_before_the_first_part_is_ignored(preamble: bytes, places: list[int]) -> None:
    head = b'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = preamble + b"\r\n--xyz\r\n" + head + b"data\r\n--xyz--\r\n"
    assert read(body, b"xyz", places)[1] == b"data"


def test_text_that_goes_on_and_on_is_no_form() -> None:
    with pytest.raises(MalformedMultipart):
        read(b"x" * 10_000, b"xyz", [])


@given(data=st.binary(max_size=3000), boundary=BOUNDARIES, places=CUTS)
def test_a_form_reads_the_same_however_it_is_cut(
    data: bytes, boundary: bytes, places: list[int]
) -> None:
    # Bytes that resemble the end of the part are the hard case.
    image = data + b"\r\n--" + boundary[:-1] + b"\r\n" + data
    line = b"--" + boundary
    if b"\r\n" + line in image:
        return
    body = (
        line
        + b'\r\nContent-Disposition: form-data; name="preset"\r\n\r\nweb\r\n'
        + line
        + b'\r\ncontent-disposition: form-data; name="file"; filename="a;b.jpg"\r\n'
        + b"Content-Type: image/jpeg\r\n\r\n"
        + image
        + b"\r\n"
        + line
        + b"--\r\n"
    )
    form, read_back = read(body, boundary, places)
    assert read_back == image
    assert form.fields == {"preset": b"web"}
    assert form.filename == "a;b.jpg"


@given(body=st.binary(max_size=2000), places=CUTS, prefix=st.booleans())
def test_any_bytes_are_a_form_or_refused(body: bytes, places: list[int], prefix: bool) -> None:
    start = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n' if prefix else b""
    with contextlib.suppress(MalformedMultipart):
        read(start + body, b"b", places)


@given(size=st.integers(0, 300), limit=st.integers(1, 200), places=CUTS)
def test_the_limit_of_a_form_is_exact(size: int, limit: int, places: list[int]) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
    body += b"x" * size + b"\r\n--b--\r\n"
    if size <= limit:
        assert len(read(body, b"b", places, limit)[1]) == size
        return
    with pytest.raises(TooManyBytes) as refused:
        read(body, b"b", places, limit)
    assert refused.value.limit == limit < float(str(refused.value.value))


@given(name=st.text(max_size=400))
def test_a_file_name_is_a_label_and_not_a_path(name: str) -> None:
    kept = clean_filename(name)
    if kept is None:
        return
    assert kept
    assert "/" not in kept
    assert "\\" not in kept
    assert kept not in {".", ".."}
    assert len(kept.encode()) <= 255
    assert not re.search(r"[\x00-\x1f\x7f\u202a-\u202e]", kept)


@given(name=st.text(min_size=1, max_size=200))
def test_a_file_name_survives_the_way_back(name: str) -> None:
    kept = clean_filename(name)
    header = attachment(kept)
    assert header.isascii()
    assert header.isprintable()
    if kept is not None:
        assert from_disposition(header.encode()) == kept


@given(value=st.binary(max_size=300))
def test_any_disposition_parses(value: bytes) -> None:
    from_disposition(value)


@given(sent=st.from_regex(r"(bytes=)?[0-9,\- a]{0,40}"), size=st.integers(1, 1000))
def test_a_range_is_within_the_object_or_refused(sent: str, size: int) -> None:
    try:
        found = wanted_range(sent, None, '"e"', size)
    except RangeNotSatisfiable:
        return
    if found is not None:
        assert 0 <= found[0] < found[1] <= size
