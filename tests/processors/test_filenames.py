import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.untrusted_text import MAX_FILENAME, clean_filename


@given(st.text(max_size=400))
def test_a_file_name_is_one_printable_name(name: str) -> None:
    kept = clean_filename(name)
    if kept is not None:
        assert "/" not in kept
        assert "\\" not in kept
        assert kept not in {"", ".", ".."}
        assert len(kept.encode()) <= MAX_FILENAME


@given(st.text(alphabet="aé漢🏽e\u0301", min_size=260, max_size=400))
def test_a_long_name_keeps_its_extension(stem: str) -> None:
    kept = clean_filename(f"{stem}.jpeg")
    assert kept is not None
    assert kept.endswith(".jpeg")
    assert len(kept.encode()) <= MAX_FILENAME
    assert len(kept.encode()) > MAX_FILENAME - 40 or "\u0301" in stem or "🏽" in stem


@pytest.mark.parametrize(
    ("letter", "why"),
    [
        ("e\u0323\u0301", "marks that no single character holds"),
        ("👍🏽", "a thumb with its skin tone"),
        ("🇩🇪", "a flag of two letters"),
        ("漢", "three bytes"),
        ("❤️", "a heart with its variation selector"),
    ],
)
def test_no_letter_is_halved(letter: str, why: str) -> None:
    whole = unicodedata.normalize("NFC", letter)
    for before in range(8):
        kept = clean_filename("x" * before + whole * 200 + ".png")
        assert kept is not None
        middle = kept.removesuffix(".png").removeprefix("x" * before)
        assert middle == whole * (len(middle) // len(whole)), why


def test_an_ending_that_is_no_extension_is_cut_like_the_rest() -> None:
    kept = clean_filename("a." + "b" * 300)
    assert kept == "a." + "b" * 253
    assert clean_filename("." + "b" * 300) == "." + "b" * 254
