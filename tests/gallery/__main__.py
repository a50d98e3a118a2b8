"""Contact sheet for people: `python -m tests.gallery` (`make gallery`) writes `.gallery/`.

The sheet is one self-contained page. It shows the rendition of preset `web` next to Pillow's, with
the figures that the test checks. A red frame marks a pair that differs.
"""

import base64
import html
import io
import sys
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from tests.gallery.cases import cases
from tests.gallery.comparison import Colours, Compared, compared
from tests.gallery.test_gallery import LEAST_SSIM, MOST_DELTA_E

_WIDEST = 320
_STYLE = """
body { font: 14px system-ui, sans-serif; margin: 2em; background: #eee }
section { display: inline-block; background: #fff; margin: 6px; padding: 8px; vertical-align: top }
section.off { outline: 3px solid #c00 }
h2 { font-size: 14px; margin: 0 0 4px } p { margin: 4px 0 0 }
img { width: 240px; margin-right: 4px }
"""


def page(found: Iterable[Compared]) -> str:
    """Contact sheet as HTML, with the smaller rendition of each case."""
    rows = [_section(each) for each in found if each.rendition == str(_WIDEST)]
    return (
        f"<!doctype html><meta charset=utf-8><title>Gallery</title><style>{_STYLE}</style>"
        f"<h1>{len(rows)} files through preset web: ours, Pillow's</h1>{''.join(rows)}"
    )


def _section(each: Compared) -> str:
    off = each.exact_ssim < LEAST_SSIM or each.delta_e > MOST_DELTA_E
    figures = f"SSIM {each.exact_ssim:.3f}, ΔE {each.delta_e:.2f}"
    encoded = f"encoded {each.web_ssim:.3f}, by Pillow {each.pillow_ssim:.3f}"
    files = f"the two files {each.files_ssim:.3f}"
    return (
        f"<section class={'off' if off else 'good'}><h2>{html.escape(each.case.name)}</h2>"
        f"{_picture(each.ours)}{_picture(each.theirs)}<p>{figures}<p>{encoded}<p>{files}</section>\n"
    )


def _picture(pixels: Colours) -> str:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", quality=90)
    return f"<img alt='' src='data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}'>"


if __name__ == "__main__":
    folder = Path(".gallery")
    folder.mkdir(exist_ok=True)
    sheet = folder / "index.html"
    sheet.write_text(page(compared(cases())), encoding="utf-8")
    sys.stdout.write(f"{sheet.absolute()}\n")
