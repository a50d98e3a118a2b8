"""QR and bar codes: their texts are read, and many finder patterns do not cost minutes."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from processors.job import Code
from processors.measures.codes import find_codes, finder_patterns
from processors.pipeline import process
from processors.preset import ARCHIVE
from processors.settings import Limits
from tests.photos import encoded, jpeg, scene

Grey = NDArray[np.uint8]
# ISO/IEC 15420: seven modules for each digit; the first digit chooses the sets of the next six.
_LEFT = ["0001101", "0011001", "0010011", "0111101", "0100011"]
_LEFT += ["0110001", "0101111", "0111011", "0110111", "0001011"]
_SETS = ["LLLLLL", "LLGLGG", "LLGGLG", "LLGGGL", "LGLLGG"]
_SETS += ["LGGLLG", "LGGGLL", "LGLGLG", "LGLGGL", "LGGLGL"]


def qr(text: str, module: int = 4) -> Grey:
    code = cv2.QRCodeEncoder.create().encode(text)
    return np.kron(code, np.ones((module, module), np.uint8)).astype(np.uint8)


def ean13(digits: str, module: int = 3) -> Grey:
    right = [each.translate(str.maketrans("01", "10")) for each in _LEFT]
    sets = {"L": _LEFT, "G": [each[::-1] for each in right]}
    chosen = zip(_SETS[int(digits[0])], digits[1:7], strict=True)
    left = [sets[kind][int(digit)] for kind, digit in chosen]
    bars = f"101{''.join(left)}01010{''.join(right[int(d)] for d in digits[7:])}101"
    row = np.array([0 if each == "1" else 255 for each in bars], np.uint8)
    return np.tile(np.repeat(row, module), (120, 1))


def on_photo(*codes: Grey) -> Grey:
    """Photograph with the codes pasted side by side, each in a quiet zone."""
    photo = np.asarray(scene("coffee", 1000, 600).convert("L")).copy()
    left = 40
    for code in codes:
        rows, columns = code.shape
        photo[40 : 80 + rows, left : left + columns + 40] = 255
        photo[60 : 60 + rows, left + 20 : left + 20 + columns] = code
        left += columns + 80
    return photo


def test_what_codes_say() -> None:
    found = find_codes(on_photo(qr("https://example.org/é"), ean13("4006381333931")))
    assert set(found) == {Code("qr", "https://example.org/é"), Code("ean_13", "4006381333931")}


@pytest.mark.parametrize("angle", [0, 10, 30, 45, 75])
def test_a_turned_code(angle: int) -> None:
    photo = on_photo(qr("turned", 6))
    turn = cv2.getRotationMatrix2D((150, 150), angle, 1)
    turned = cv2.warpAffine(photo, turn, (1000, 600), borderValue=[255.0])
    assert find_codes(turned.astype(np.uint8)) == (Code("qr", "turned"),)


def test_they_are_read_only_where_asked_for() -> None:
    data = encoded(scene(), "png")
    assert process(data, ARCHIVE, Limits()).measures.codes is None
    assert process(data, ARCHIVE, Limits(codes=True)).measures.codes == ()


def test_a_code_in_an_uploaded_file() -> None:
    ok, data = cv2.imencode(".png", on_photo(qr("BEGIN:VCARD\nFN:Ada\u202e")))
    assert ok
    found = process(data.tobytes(), ARCHIVE, Limits(codes=True)).measures.codes
    assert found == (Code("qr", "BEGIN:VCARD FN:Ada"),)


def test_a_wall_of_finder_patterns_is_not_looked_at_closely() -> None:
    """Wall of patterns on which OpenCV's detector of several codes works for minutes."""
    pattern = np.zeros((9, 9), np.uint8)
    pattern[0], pattern[-1], pattern[:, 0], pattern[:, -1] = 255, 255, 255, 255
    pattern[2:7, 2:7], pattern[3:6, 3:6] = 255, 0
    wall = np.tile(np.kron(pattern, np.ones((3, 3), np.uint8)), (38, 38))[:1024, :1024]
    found = finder_patterns(np.ascontiguousarray(wall))
    assert found.whole == pytest.approx(1400, rel=0.1)
    assert found.places == pytest.approx(1400, rel=0.1)
    assert find_codes(np.ascontiguousarray(wall)) == ()


def test_patterns_of_which_one_row_is_whole_count_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: 324 such patterns were counted as 54, and cost the detector six seconds."""
    pattern = np.zeros((9, 9), np.uint8)
    pattern[0], pattern[-1], pattern[:, 0], pattern[:, -1] = 255, 255, 255, 255
    pattern[2:7, 2:7], pattern[3:6, 3:6] = 255, 0
    half = np.kron(pattern, np.ones((6, 6), np.uint8))
    half[18:27, 12:18] = half[28:36, 12:18] = 0
    wall = np.ascontiguousarray(np.tile(half, (8, 8)))
    found = finder_patterns(wall)
    assert found.whole < 64 < found.places
    asked = []
    one = cv2.QRCodeDetector()

    class Detector:
        def detectAndDecodeBytes(self, grey: Grey) -> object:  # noqa: N802 - OpenCV's name
            asked.append(max(grey.shape))
            return one.detectAndDecodeBytes(grey)

    monkeypatch.setattr("cv2.QRCodeDetector", Detector)
    assert find_codes(wall) == ()
    assert asked == [max(wall.shape)]


def test_a_photograph_without_codes() -> None:
    assert process(jpeg(), ARCHIVE, Limits(codes=True)).measures.codes == ()
